package bundle

// Claim is what an offer and a close said of a bundle before its manifest was here.
type Claim struct {
	Bundle         ID
	Tenant         Name
	Epoch          Epoch
	Sequence       uint64
	Previous       Digest
	Files, Dirs    uint32
	Bytes          uint64 // of content
	Chunks         uint32 // of content
	ChunkSize      uint32 // bytes
	Name           string
	Created        int64  // Unix seconds
	ManifestSize   uint64 // bytes
	ManifestDigest Digest
}

// AgreesWith holds a manifest that was parsed or written against what was said of it (M-7): manifest-digest when these are other bytes,
// manifest-mismatch when they contradict the claim.
func (m *Manifest) AgreesWith(c Claim) error {
	if uint64(m.Size) != c.ManifestSize || m.Digest != c.ManifestDigest {
		return Reject(ReasonManifestDigest, "M-7", "%d bytes with digest %s, not %d with %s", m.Size, m.Digest, c.ManifestSize, c.ManifestDigest)
	}
	for _, field := range []struct {
		name  string
		agree bool
	}{
		{"bundle", m.Bundle == c.Bundle},
		{"tenant", m.Tenant == c.Tenant},
		{"epoch", m.Epoch == c.Epoch},
		{"sequence", m.Sequence == c.Sequence},
		{"previous", m.Previous == c.Previous},
		{"files", uint64(m.Table.Files()) == uint64(c.Files)},
		{"directories", uint64(m.Table.Dirs()) == uint64(c.Dirs)},
		{"bytes", uint64(m.Table.Total()) == c.Bytes},
		{"chunks", uint64(len(m.Marks)) == uint64(c.Chunks)},
		{"chunk size", uint64(m.ChunkSize) == uint64(c.ChunkSize)},
		{"name", m.Name == c.Name},
		{"created", m.Created == c.Created},
	} {
		if !field.agree {
			return Reject(ReasonManifestMismatch, "M-7", "the %s of the manifest is not what was offered", field.name)
		}
	}
	return nil
}
