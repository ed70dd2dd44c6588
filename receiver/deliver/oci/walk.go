package oci

import (
	"encoding/json"
	"strings"

	"ecluse/receiver/deliver/remote"
)

const (
	deepest       = 8        // indexes within indexes
	nodesMost     = 100_000  // of one bundle
	documentsMost = 64 << 20 // bytes of manifests of one bundle: they are held in memory
)

// node is one thing to send: a manifest or an index, which is held, or a blob.
type node struct {
	descriptor
	text []byte // nil for a blob
	file *file
}

// walker looks through what is to be pushed before anything is.
type walker struct {
	nodes int
	bytes int64
}

// walk lists all that an image consists of, and refuses it where something is not there.
func (w *walker) walk(i *image) (err error) {
	seen := make(map[string]bool)
	text, err := w.document(i.from, i.top, i.made)
	if err != nil {
		return err
	}
	i.nodes, err = w.below(i.from, i.top, text, seen, 0, nil)
	if err != nil {
		return err
	}
	var d document
	if json.Unmarshal(text, &d) == nil && d.Subject != nil {
		i.subject = d.Subject.Digest
	}
	return nil
}

// document reads an index or a manifest.
func (w *walker) document(s *source, d descriptor, made []byte) ([]byte, error) {
	text := made
	if text == nil {
		f, err := s.blob(d.Digest)
		if err != nil {
			return nil, err
		}
		if text, err = f.read(); err != nil {
			return nil, err
		}
	}
	if w.bytes += int64(len(text)); w.bytes > documentsMost {
		return nil, remote.Unfit("its manifests have more than %d bytes in all", documentsMost)
	}
	return text, nil
}

// below appends a manifest or an index behind all that it names.
func (w *walker) below(s *source, d descriptor, text []byte, seen map[string]bool, depth int, nodes []*node) ([]*node, error) {
	if seen[d.Digest] {
		return nodes, nil
	}
	seen[d.Digest] = true
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, remote.Unfit("%s in %s cannot be read: %v", d.Digest, s.what, err)
	}
	if depth == deepest {
		return nil, remote.Unfit("%s has indexes within indexes, more than %d deep", s.what, deepest)
	}
	for _, child := range doc.Manifests {
		text, err := w.document(s, child, nil)
		if err != nil {
			return nil, err
		}
		if nodes, err = w.below(s, child, text, seen, depth+1, nodes); err != nil {
			return nil, err
		}
	}
	blobs := append(doc.Layers, doc.Blobs...)
	if doc.Config != nil {
		blobs = append(blobs, *doc.Config)
	}
	for _, b := range blobs {
		if seen[b.Digest] {
			continue
		}
		f, err := s.blob(b.Digest)
		if err != nil && (len(b.URLs) > 0 || strings.Contains(b.MediaType, "foreign") || strings.Contains(b.MediaType, "nondistributable")) {
			continue // it is to be had elsewhere, by its maker's will
		}
		if err != nil {
			return nil, err
		}
		seen[b.Digest] = true
		nodes = append(nodes, &node{descriptor: b, file: f})
	}
	if d.MediaType == "" {
		d.MediaType = doc.MediaType
	}
	if w.nodes += len(blobs) + 1; w.nodes > nodesMost {
		return nil, remote.Unfit("it has more than %d parts", nodesMost)
	}
	return append(nodes, &node{descriptor: d, text: text}), nil
}
