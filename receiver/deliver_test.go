package main

import (
	"encoding/json"
	"testing"

	"ecluse/protocol/bundle"
)

func TestWhatADestinationSaysWithoutACodeHasTheKeyAllTheSame(t *testing.T) {
	reason := bundle.ReasonDestination
	for want, f := range map[string]undelivered{
		`{"destination":"a","error":"b","reason":null}`:          {Destination: "a", Error: "b"},
		`{"destination":"a","error":"b","reason":"destination"}`: {Destination: "a", Error: "b", Reason: &reason},
	} {
		if got, err := json.Marshal(f); err != nil || string(got) != want {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
	}
}
