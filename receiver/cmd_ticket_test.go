package main

import (
	"testing"

	"rsc.io/qr"

	"ecluse/receiver/issue"
)

// What is drawn is read back module by module, as a camera does on a dark terminal: blocks are light, and all around is light too.
func TestADrawnCodeIsTheCodeOnLightGround(t *testing.T) {
	const code = "47CS9V-SBRV0E-EWV3NR-GFADXA-A58Y9H-1H12JQ-82K719"
	s, err := drawn(&issue.Issued{Code: code})
	if err != nil {
		t.Fatal(err)
	}
	want, err := qr.Encode(code, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	light := func(x, y int) bool {
		switch line := []rune(s.QR[y/2]); line[x] {
		case '█':
			return true
		case '▀':
			return y%2 == 0
		case '▄':
			return y%2 == 1
		}
		return false
	}
	const quiet = 4
	dark := 0
	for y := range want.Size + 2*quiet {
		for x := range want.Size + 2*quiet {
			if light(x, y) == want.Black(x-quiet, y-quiet) {
				t.Fatalf("module %d, %d is drawn wrong", x-quiet, y-quiet)
			}
			if !light(x, y) {
				dark++
			}
		}
	}
	if dark < want.Size*want.Size/4 {
		t.Errorf("%d dark modules", dark)
	}
}
