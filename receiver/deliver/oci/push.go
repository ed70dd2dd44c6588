package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	ggcr "github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"ecluse/receiver/deliver/remote"
)

// blobsMost is how many blobs are sent at once.
const blobsMost = 3

// Deliver implements remote.Destination.
func (r *Registry) Deliver(ctx context.Context, job remote.Job) (string, error) {
	c, err := job.Open()
	if err != nil {
		return "", err
	}
	defer c.Close()
	images, err := plan(c)
	if err != nil {
		return "", err
	}
	o, done, err := r.options(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	pusher, err := ggcr.NewPusher(o...)
	if err != nil {
		return "", remote.Away(err, "registry %s", r.o.Registry)
	}
	p := &push{Registry: r, pusher: pusher}
	for _, i := range images {
		for _, into := range i.into {
			if err := p.content(ctx, i, into); err != nil {
				return "", err
			}
		}
	}
	set := false
	for _, attached := range []bool{true, false} { // who finds an image by its tag finds its signature, too
		for _, i := range images {
			if i.attached() != attached {
				continue
			}
			for _, ref := range i.refs {
				if err := p.put(ctx, r.repository(ref.repository).Tag(ref.tag), i.nodes[len(i.nodes)-1]); err != nil {
					return "", maybe(ctx, err, set)
				}
				set = true
			}
		}
	}
	return title(images), nil
}

// maybe says that a tag may have been set all the same, or that others were.
func maybe(ctx context.Context, err error, others bool) error {
	var f *remote.Failure
	switch {
	case errors.As(err, &f):
		f.Maybe = f.Away || others
	case ctx.Err() != nil:
		err = remote.Cut(err)
	}
	return err
}

// plan finds all images, looks whether they are whole, and gives them their names. What is attached to another comes behind it.
func plan(c *remote.Content) (images []*image, err error) {
	found, err := sources(c)
	if err != nil {
		return nil, err
	}
	w := new(walker)
	for _, s := range found {
		list, err := s.images()
		if err != nil {
			return nil, err
		}
		for _, i := range list {
			if err := w.walk(i); err != nil {
				return nil, err
			}
		}
		images = append(images, list...)
	}
	if err := christen(images); err != nil {
		return nil, err
	}
	var ordered []*image
	for _, attached := range []bool{false, true} {
		for _, i := range images {
			if i.attached() == attached {
				ordered = append(ordered, i)
			}
		}
	}
	return ordered, nil
}

// title is what people are shown: the first name, or digest, and how many more there are.
func title(images []*image) string {
	first := images[0].top.Digest
	if len(images[0].refs) > 0 {
		first = strings.TrimPrefix(images[0].refs[0].repository+":"+images[0].refs[0].tag, ":")
	}
	if len(images) > 1 {
		return fmt.Sprintf("%s and %d more", first, len(images)-1)
	}
	return first
}

// push is one attempt.
type push struct {
	*Registry
	pusher *ggcr.Pusher
}

// content sends all of an image to a repository, what is named before what names it.
func (p *push) content(ctx context.Context, i *image, below string) error {
	to := p.repository(below)
	blobs, wait := errgroup.WithContext(ctx)
	blobs.SetLimit(blobsMost)
	for _, n := range i.nodes {
		if n.text == nil && wait.Err() == nil {
			blobs.Go(func() error { return p.upload(wait, to, n) })
		}
	}
	if err := blobs.Wait(); err != nil {
		return err
	}
	for _, n := range i.nodes {
		if n.text == nil {
			continue
		}
		if err := p.put(ctx, to.Digest(n.Digest), n); err != nil {
			return err
		}
	}
	return nil
}

func (p *push) upload(ctx context.Context, to name.Repository, n *node) error {
	l := &layer{node: n}
	err := p.pusher.Upload(ctx, to, l)
	if wrong := l.wrong(nil); wrong != nil { // the content is, whatever became of the request
		err = wrong
	}
	return p.fault(ctx, err, fmt.Sprintf("push %s to %s", n.Digest, to.Name()))
}

func (p *push) put(ctx context.Context, to name.Reference, n *node) error {
	return p.fault(ctx, p.pusher.Put(ctx, to, n), fmt.Sprintf("push %s", to.Name()))
}

// RawManifest and MediaType make a manifest what the library puts.
func (n *node) RawManifest() ([]byte, error) { return n.text, nil }

// MediaType is what the index says of it.
func (n *node) MediaType() (types.MediaType, error) {
	return types.MediaType(n.descriptor.MediaType), nil
}

// layer is a blob as the library sends it.
type layer struct {
	*node
	mu  sync.Mutex // a request may still read when it was given up
	err error      // of its content
}

// wrong notes why it could not be read, and gives the first such error.
func (l *layer) wrong(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
	return l.err
}

var errRaw = errors.New("oci: a blob is sent as it is")

// Digest implements v1.Layer.
func (l *layer) Digest() (v1.Hash, error) { return v1.NewHash(l.node.Digest) }

// DiffID implements v1.Layer.
func (l *layer) DiffID() (v1.Hash, error) { return v1.Hash{}, errRaw }

// Uncompressed implements v1.Layer.
func (l *layer) Uncompressed() (io.ReadCloser, error) { return nil, errRaw }

// Size implements v1.Layer.
func (l *layer) Size() (int64, error) { return l.file.size, nil }

// Compressed implements v1.Layer.
func (l *layer) Compressed() (io.ReadCloser, error) {
	r, err := l.file.open()
	if err != nil {
		return nil, l.wrong(err)
	}
	return &watched{r, l}, nil
}

// watched tells its layer why it could not be read.
type watched struct {
	*remote.Reader
	of *layer
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	if w.Err() != nil {
		w.of.wrong(w.Err())
	}
	return n, err
}
