package examine

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"ecluse/internal/policy"
	"ecluse/protocol/racing"
)

// sevenZipOf is a 7z archive that says that it has so many files, in some bytes of header.
func sevenZipOf(files uint64) string {
	number := append([]byte{0xff}, binary.LittleEndian.AppendUint64(nil, files)...)
	header := append([]byte{0x01, 0x05}, number...) // header, files
	header = append(header, 0x00, 0x00)
	start := binary.LittleEndian.AppendUint64(nil, 0)
	start = binary.LittleEndian.AppendUint64(start, uint64(len(header)))
	start = binary.LittleEndian.AppendUint32(start, crc32.ChecksumIEEE(header))
	all := append([]byte("7z\xbc\xaf\x27\x1c\x00\x04"), binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(start))...)
	return string(append(append(all, start...), header...))
}

// What a few bytes say of themselves takes no more than the child: it is found, or told, within seconds, and nothing is let in for it.
func TestAnArchiveThatSaysItIsHugeEndsSoon(t *testing.T) {
	for _, files := range []uint64{1 << 20, 1 << 24, 1 << 31, 1 << 40, 1 << 62} {
		j := job(t, policy.Rules{}, map[string]string{"item": sevenZipOf(files)})
		began := time.Now()
		r, err := runner().Run(context.Background(), j)
		took := time.Since(began)
		if took > 20*time.Second {
			t.Errorf("%d files: it took %v", files, took)
		}
		said := "memory"
		if racing.Step > 1 {
			said = "failed to allocate" // the race detector ends the child in words of its own
		}
		if err == nil && len(r.Findings) == 0 || err != nil && !strings.Contains(err.Error(), "memory") && !strings.Contains(err.Error(), said) {
			t.Errorf("%d files: %+v, %v", files, r, err)
		}
	}
}
