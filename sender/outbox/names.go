package outbox

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

const (
	reasonPrefix = "."
	reasonSuffix = ".ecluse-reason.txt"
	maxComponent = 255 // bytes of a name on Linux
)

// leftAlone tells the names at an outbox's top that are not items: hidden ones, and those under which tools keep what is not finished.
func leftAlone(name string) bool {
	return name == "" || name[0] == '.' || strings.HasSuffix(name, ".part") || strings.HasSuffix(name, ".tmp")
}

// reasonName is the hidden name of the file that says why an item cannot be claimed. A name too long for it is cut and told apart by a hash.
func reasonName(name string) string {
	if n := len(reasonPrefix) + len(name) + len(reasonSuffix); n <= maxComponent {
		return reasonPrefix + name + reasonSuffix
	}
	sum := sha256.Sum256([]byte(name))
	end := maxComponent - len(reasonPrefix) - len(reasonSuffix) - 1 - 16
	for end > 0 && !utf8.RuneStart(name[end]) {
		end--
	}
	return reasonPrefix + name[:end] + "~" + hex.EncodeToString(sum[:8]) + reasonSuffix
}

// isReason tells the names that reasonName gives.
func isReason(name string) bool {
	return strings.HasPrefix(name, reasonPrefix) && strings.HasSuffix(name, reasonSuffix)
}
