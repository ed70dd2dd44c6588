package bundle

// Name is the name of a tenant, a sender or a receiver (I-2). It is safe as a directory's name and in a log.
type Name string

// ParseName takes 1 to 64 characters of a-z 0-9 . _ - that begin with a letter or a digit and do not end in a dot. Refused: manifest-field, I-2.
func ParseName(s string) (Name, error) {
	if len(s) < 1 || len(s) > MaxName {
		return "", Reject(ReasonManifestField, "I-2", "a name has 1 to %d characters, not %d", MaxName, len(s))
	}
	for i := range len(s) {
		if !nameByte(s[i], i == 0) {
			return "", Reject(ReasonManifestField, "I-2", "%q is no name: a-z 0-9 . _ - are allowed, and a letter or a digit at the start", s)
		}
	}
	if s[len(s)-1] == '.' {
		return "", Reject(ReasonManifestField, "I-2", "%q is no name: it ends in a dot", s)
	}
	return Name(s), nil
}

func nameByte(c byte, first bool) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		return true
	case c == '.', c == '_', c == '-':
		return !first
	}
	return false
}

// String gives the name as it is written.
func (n Name) String() string { return string(n) }
