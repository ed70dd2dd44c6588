package bundle

import (
	"encoding/json"
	"testing"
)

func TestAClassTravelsThroughJSONAsItsWord(t *testing.T) {
	for c := Urgent; c <= Bulk; c++ {
		text, err := json.Marshal(c)
		var back Class
		if err != nil || string(text) != `"`+c.String()+`"` || json.Unmarshal(text, &back) != nil || back != c {
			t.Errorf("%v: %s, %v, back %v", c, text, err, back)
		}
	}
	if _, err := json.Marshal(Class(0)); err == nil {
		t.Error("class 0 has no word, and got one")
	}
	var c Class
	if json.Unmarshal([]byte(`"fast"`), &c) == nil {
		t.Error(`"fast" was taken`)
	}
}
