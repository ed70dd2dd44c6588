package collect

import (
	"encoding/json"
	"testing"

	"ecluse/protocol/bundle"
)

func TestSessionsAreShownAsStatusPromises(t *testing.T) {
	s := Snapshot{
		Sessions: []OpenSession{{SessionInfo: SessionInfo{Sender: "low", Number: 7}, Accepted: 100}},
		Refused: []Refusal{
			{Sender: "SHA256:x", Session: 3, Reason: bundle.ReasonSessionSenderUnknown, Count: 5},
			{Reason: bundle.ReasonSessionRate, Count: 9},
		},
	}
	got, err := json.Marshal(s.Rows())
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"sender":"low","session":7,"state":"open","reason":null,"count":1},` +
		`{"sender":"SHA256:x","session":3,"state":"refused","reason":"session-sender-unknown","count":5},` +
		`{"sender":null,"session":null,"state":"refused","reason":"session-rate","count":9}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if empty, _ := json.Marshal((&Snapshot{}).Rows()); string(empty) != "[]" {
		t.Errorf("no sessions are shown as %s", empty)
	}
}
