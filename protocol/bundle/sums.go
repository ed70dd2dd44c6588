package bundle

import (
	"fmt"
	"io"
	"strings"
)

// WriteSums writes SHA256SUMS (M-6): what `sha256sum -c` takes in the directory that holds files/. It is a pure function of the table.
func WriteSums(w io.Writer, t *Table) error {
	out := &spool{w: w}
	for number := 1; number <= t.Files(); number++ {
		out.put(func(dst []byte) []byte { return appendSum(dst, t.File(number)) })
	}
	if err := out.flush(); err != nil {
		return fmt.Errorf("write SHA256SUMS: %w", err)
	}
	return nil
}

// appendSum appends one line. Of the characters that coreutils escapes only the backslash can stand in a path.
func appendSum(dst []byte, f File) []byte {
	path := string(f.Path)
	if strings.Contains(path, `\`) {
		dst = append(dst, '\\')
		path = strings.ReplaceAll(path, `\`, `\\`)
	}
	dst = append(appendHex(dst, f.Digest[:]), "  files/"...)
	return append(append(dst, path...), '\n')
}
