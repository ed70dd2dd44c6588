package record

import (
	"encoding/binary"

	"ecluse/protocol/bundle"
)

const (
	sliceFixed = 16 + 4 + 4 + 4 + 4 + 2 // bytes before the runs
	runSize    = 4 + 8 + 4
)

// Slice is a piece of one chunk's frame. Slices of a chunk may come in any order and overlap.
type Slice struct {
	Bundle bundle.ID
	Chunk  uint32
	Raw    uint32       // bytes of content in the chunk
	Frame  uint32       // bytes of the whole frame
	Offset uint32       // where Data begins in the frame
	Runs   []bundle.Run // which bytes of which files the chunk holds: in the slice at offset 0 only
	Data   [][]byte     // bytes of the frame, at least 1, in as many segments as they lie in
}

var (
	errSliceChunk error = bundle.Reject(bundle.ReasonRecordBody, "R-3", "the number of the chunk is above the limit")
	errSliceRaw   error = bundle.Reject(bundle.ReasonRecordBody, "R-3", "the raw length of the chunk is outside its limits")
	errSliceFrame error = bundle.Reject(bundle.ReasonRecordBody, "R-3", "the length of the frame is outside its limits")
	errSliceRun   error = bundle.Reject(bundle.ReasonRecordBody, "R-3", "a run lies outside what a bundle may hold")
	errSliceEnd   error = bundle.Reject(bundle.ReasonChunkLayout, "R-6", "the slice ends outside its frame")
	errSliceRuns  error = bundle.Reject(bundle.ReasonChunkLayout, "R-6", "runs stand in the slice at offset 0, and only there")
	errRunLength  error = bundle.Reject(bundle.ReasonChunkLayout, "R-6", "the runs do not add up to the chunk")
	errRunOrder   error = bundle.Reject(bundle.ReasonChunkLayout, "R-6", "the runs are not in the order of their files")
	errRunOffset  error = bundle.Reject(bundle.ReasonChunkLayout, "R-6", "a run behind the first begins inside its file")
	errRunMixed   error = bundle.Reject(bundle.ReasonChunkLayout, "R-8", "the manifest shares a chunk with content")
)

// MaxFrame is the largest frame of a chunk of raw bytes (section 1).
func MaxFrame(raw int) int {
	return raw + raw/128 + 1024
}

// Type is TypeSlice.
func (s *Slice) Type() Type { return TypeSlice }

// DataLength is the number of bytes in Data.
func (s *Slice) DataLength() int {
	n := 0
	for _, segment := range s.Data {
		n += len(segment)
	}
	return n
}

// Length is the number of bytes of the body.
func (s *Slice) Length() int {
	return sliceFixed + len(s.Runs)*runSize + s.DataLength()
}

// Append appends the body to dst.
func (s *Slice) Append(dst []byte) []byte {
	dst = append(dst, s.Bundle[:]...)
	dst = binary.BigEndian.AppendUint32(dst, s.Chunk)
	dst = binary.BigEndian.AppendUint32(dst, s.Raw)
	dst = binary.BigEndian.AppendUint32(dst, s.Frame)
	dst = binary.BigEndian.AppendUint32(dst, s.Offset)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(s.Runs)))
	for _, run := range s.Runs {
		dst = binary.BigEndian.AppendUint32(dst, run.File)
		dst = binary.BigEndian.AppendUint64(dst, run.Offset)
		dst = binary.BigEndian.AppendUint32(dst, run.Length)
	}
	for _, segment := range s.Data {
		dst = append(dst, segment...)
	}
	return dst
}

// Parse reads a body that lies in one piece, and refuses it with record-body or chunk-layout. Data aliases the body.
func (s *Slice) Parse(body []byte) error {
	if len(body) < sliceFixed {
		return errBodyLength
	}
	runs := s.parseFixed(body[:sliceFixed])
	head := sliceFixed + runs*runSize
	if runs > bundle.MaxRuns || head >= len(body) {
		return errBodyLength
	}
	s.parseRuns(body[sliceFixed:head])
	s.Data = append(s.Data[:0], body[head:])
	return s.check()
}

// parseFixed reads the sliceFixed bytes before the runs and gives how many runs there are.
func (s *Slice) parseFixed(b []byte) (runs int) {
	f := fields{rest: b}
	s.Bundle = f.id()
	s.Chunk, s.Raw, s.Frame, s.Offset = f.u32(), f.u32(), f.u32(), f.u32()
	return int(f.u16())
}

// parseRuns reads a whole number of runs.
func (s *Slice) parseRuns(b []byte) {
	s.Runs = s.Runs[:0]
	for f := (fields{rest: b}); len(f.rest) > 0; {
		s.Runs = append(s.Runs, bundle.Run{File: f.u32(), Offset: f.u64(), Length: f.u32()})
	}
}

// AppendTo puts the slice into a block; it is false when it does not fit. A Slicer cuts a chunk to what fits.
func (s *Slice) AppendTo(b *Block) bool {
	mustHold(s.check())
	body := b.add(TypeSlice, s.Length())
	if body == nil {
		return false
	}
	s.Append(body)
	return true
}

// check refuses values outside I-1 and section 1, and what one slice can show of. The rest (whether slices agree, and
// whether runs end where files do) takes the other slices and the manifest.
func (s *Slice) check() error {
	n := s.DataLength()
	switch {
	case s.Bundle.IsZero():
		return errID
	case s.Chunk >= bundle.MaxChunks:
		return errSliceChunk
	case s.Raw < 1 || s.Raw > bundle.ChunkSizeMax:
		return errSliceRaw
	case s.Frame < 1 || int(s.Frame) > MaxFrame(int(s.Raw)):
		return errSliceFrame
	case n < 1 || len(s.Runs) > bundle.MaxRuns:
		return errBodyLength
	case uint64(s.Offset)+uint64(n) > uint64(s.Frame):
		return errSliceEnd
	case (s.Offset == 0) != (len(s.Runs) > 0):
		return errSliceRuns
	}
	return s.checkRuns()
}

// checkRuns refuses runs that cannot be those of a chunk.
func (s *Slice) checkRuns() error {
	if len(s.Runs) == 0 {
		return nil
	}
	raw := uint64(0)
	for i, run := range s.Runs {
		limit := uint64(bundle.MaxBytes)
		if run.File == 0 {
			limit = bundle.MaxManifest
		}
		switch {
		case run.File > bundle.MaxFiles || run.Offset > limit-uint64(run.Length):
			return errSliceRun
		case run.Length == 0:
			return errRunLength
		case i > 0 && run.File <= s.Runs[i-1].File:
			return errRunOrder
		case i > 0 && run.Offset != 0:
			return errRunOffset
		}
		raw += uint64(run.Length)
	}
	switch {
	case raw != uint64(s.Raw):
		return errRunLength
	case s.Runs[0].File == 0 && len(s.Runs) > 1:
		return errRunMixed
	}
	return nil
}
