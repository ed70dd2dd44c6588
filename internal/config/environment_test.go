package config

import (
	"slices"
	"testing"
)

func TestVariablesThatOverrideNothingAreNamed(t *testing.T) {
	got := UnknownVariables[house]([]string{"PATH=/bin", "ECLUSE_STATE=/x", "ECLUSE_DISK_RESERVE=5%", "ECLUSE_STAET=/x", "ECLUSE_LINKS_TO=x", "ECLUSE_COUNT", "ECLUSE_EMPTY=", "ECLUSELESS=1"})
	if want := []string{"ECLUSE_LINKS_TO", "ECLUSE_STAET"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
