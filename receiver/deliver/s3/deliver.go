package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver/remote"
)

const (
	digestMeta = "Ecluse-Sha256" // of an object: x-amz-meta-ecluse-sha256
	checksum   = "x-amz-checksum-sha256"
	algorithm  = "x-amz-checksum-algorithm"
	abortMost  = 5 * time.Second
)

// Deliver implements remote.Destination.
func (s *Store) Deliver(ctx context.Context, job remote.Job) (name string, err error) {
	defer func() {
		if err != nil {
			s.forget()
		}
	}()
	m := job.Signed.Manifest
	if err := s.fit(m); err != nil {
		return "", err
	}
	c, err := job.Open()
	if err != nil {
		return "", err
	}
	defer c.Close()
	core, err := s.client()
	if err != nil {
		return "", err
	}
	u := &upload{Store: s, core: core, content: c, tags: map[string]string{"tenant": string(m.Tenant), "bundle": m.Bundle.String()}}
	if err := u.files(ctx); err != nil {
		return "", err
	}
	return m.Name, u.marks(ctx)
}

// upload is one attempt.
type upload struct {
	*Store
	core    *minio.Core
	content *remote.Content
	tags    map[string]string // of every object; it never changes
}

// files sends what the bundle holds, several at once.
func (u *upload) files(ctx context.Context) error {
	all, until := errgroup.WithContext(ctx)
	all.SetLimit(max(1, min(requestsMost, int(memoryMost/u.o.PartSize))))
	for n := 1; n <= u.content.Table.Files() && until.Err() == nil; n++ {
		if u.content.Table.Size(n) > u.o.PartSize {
			continue
		}
		all.Go(func() error { return u.file(until, n) })
	}
	if err := all.Wait(); err != nil {
		return err
	}
	for n := 1; n <= u.content.Table.Files(); n++ { // those share their parts out themselves
		if u.content.Table.Size(n) > u.o.PartSize {
			if err := u.file(ctx, n); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func (u *upload) file(ctx context.Context, n int) error {
	path := u.content.Table.File(n).Path
	return u.object(ctx, u.key(path), func() (*remote.Reader, error) { return u.content.File(n) })
}

// marks says that all of it is there.
func (u *upload) marks(ctx context.Context) error {
	id := u.content.Signed.Manifest.Bundle
	if u.o.Names == Short {
		if err := u.put(ctx, u.mark(id, indexEnd), u.index(u.content.Table)); err != nil {
			return err
		}
	}
	if err := u.put(ctx, u.mark(id, signatureEnd), u.content.Signature()); err != nil {
		return err
	}
	err := u.object(ctx, u.mark(id, manifestEnd), u.content.Manifest)
	var f *remote.Failure
	switch {
	case errors.As(err, &f): // the request may have come through, and its answer not
		f.Maybe = f.Away
	case err != nil && ctx.Err() != nil:
		err = remote.Cut(err)
	}
	return err
}

// object sends one object, unless it stands there already.
func (u *upload) object(ctx context.Context, key string, open func() (*remote.Reader, error)) error {
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	if u.content.Again {
		if there, err := u.stands(ctx, key, r); there || err != nil {
			return err
		}
	}
	if r.Size > u.o.PartSize {
		return u.parts(ctx, key, r)
	}
	text, err := r.All(u.o.PartSize)
	if err != nil {
		return err
	}
	return u.put(ctx, key, text)
}

// stands says whether an earlier attempt has completed an object.
func (u *upload) stands(ctx context.Context, key string, r *remote.Reader) (bool, error) {
	info, err := u.core.StatObject(ctx, u.o.Bucket, key, minio.StatObjectOptions{})
	if minio.ToErrorResponse(err).StatusCode == http.StatusNotFound && minio.ToErrorResponse(err).Code != minio.NoSuchBucket {
		return false, nil
	}
	if err != nil {
		return false, u.fault(ctx, err, fmt.Sprintf("look at %q", key))
	}
	return info.Size == r.Size && info.UserMetadata[digestMeta] == r.Digest.String(), nil
}

// options are those of an object with a digest.
func (u *upload) options(digest bundle.Digest, more map[string]string) minio.PutObjectOptions {
	tags := map[string]string{"digest": digest.String()}
	for k, v := range u.tags {
		tags[k] = v
	}
	meta := map[string]string{digestMeta: digest.String()}
	for k, v := range more {
		meta[k] = v
	}
	return minio.PutObjectOptions{UserMetadata: meta, UserTags: tags, DisableContentSha256: true}
}

// put sends an object that is held in memory: the digest of its body is signed with the request, and stays with the object as its checksum.
func (u *upload) put(ctx context.Context, key string, text []byte) error {
	sum := sha256.Sum256(text)
	o := u.options(bundle.Digest(sum), map[string]string{checksum: base64.StdEncoding.EncodeToString(sum[:])})
	_, err := u.core.PutObject(ctx, u.o.Bucket, key, bytes.NewReader(text), int64(len(text)), "", hex.EncodeToString(sum[:]), o)
	return u.fault(ctx, err, fmt.Sprintf("put %q", key))
}

// parts sends an object in parts, but for those that stand there with their digests since an earlier attempt. The last one is held back until the digest of all of it holds.
func (u *upload) parts(ctx context.Context, key string, r *remote.Reader) (err error) {
	act := fmt.Sprintf("put %q in parts", key)
	id, there, err := u.begin(ctx, key, r.Digest, act)
	if err != nil {
		return err
	}
	parts, err := u.sendParts(ctx, key, id, r, there)
	if err == nil {
		_, err = u.core.CompleteMultipartUpload(ctx, u.o.Bucket, key, id, parts, minio.PutObjectOptions{})
	}
	if err == nil {
		return nil
	}
	why := u.fault(ctx, err, act)
	if u.content.Note == nil || ctx.Err() == nil && !remote.IsAway(why) {
		u.takeBack(ctx, key, id)
	}
	return why
}

// takeBack ends an upload that nobody will go on with. Where it cannot, the next attempt does.
func (u *upload) takeBack(ctx context.Context, key, id string) {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortMost)
	defer cancel()
	_ = u.core.AbortMultipartUpload(late, u.o.Bucket, key, id)
}

// begin goes on with the upload of an object that an earlier attempt has noted, and gives the digests of its parts that stand there; or begins one, and takes back all others of that object.
//
// Only what is on record here as begun for this bundle is gone on with: an object takes over the digest and the tags with which its upload began, and no store shows those of one that has not ended.
func (u *upload) begin(ctx context.Context, key string, digest bundle.Digest, act string) (id string, there map[int]minio.ObjectPart, err error) {
	if noted, of := parseBegun(u.content.Begun); of == key {
		there, err = u.standing(ctx, key, noted)
		if err == nil {
			return noted, there, nil
		}
		if minio.ToErrorResponse(err).Code != minio.NoSuchUpload {
			return "", nil, u.fault(ctx, err, act)
		}
	}
	if u.content.Again { // what was begun, and not ended, takes room for ever
		if err := u.core.RemoveIncompleteUpload(ctx, u.o.Bucket, key); err != nil && minio.ToErrorResponse(err).Code != minio.NoSuchUpload {
			return "", nil, u.fault(ctx, err, fmt.Sprintf("take back the parts of %q", key))
		}
	}
	id, err = u.core.NewMultipartUpload(ctx, u.o.Bucket, key, u.options(digest, map[string]string{algorithm: "SHA256"}))
	if err != nil {
		return "", nil, u.fault(ctx, err, act)
	}
	if u.content.Note != nil { // before its first part
		if err := u.content.Note(id + " " + key); err != nil {
			u.takeBack(ctx, key, id)
			return "", nil, err
		}
	}
	return id, nil, nil
}

// parseBegun reads what begin notes.
func parseBegun(text string) (id, key string) {
	id, key, _ = strings.Cut(text, " ")
	return id, key
}

// standing are the parts of an upload, by their numbers.
func (u *upload) standing(ctx context.Context, key, id string) (map[int]minio.ObjectPart, error) {
	all := make(map[int]minio.ObjectPart)
	for after := 0; ; {
		list, err := u.core.ListObjectParts(ctx, u.o.Bucket, key, id, after, 0)
		if err != nil {
			return nil, err
		}
		for _, p := range list.ObjectParts {
			all[p.PartNumber] = p
		}
		if !list.IsTruncated || list.NextPartNumberMarker <= after {
			return all, nil
		}
		after = list.NextPartNumberMarker
	}
}

// Abandon implements remote.Resumer.
func (s *Store) Abandon(ctx context.Context, begun string) error {
	id, key := parseBegun(begun)
	core, err := s.client()
	if err == nil {
		err = core.AbortMultipartUpload(ctx, s.o.Bucket, key, id)
	}
	if minio.ToErrorResponse(err).Code == minio.NoSuchUpload {
		return nil
	}
	if err != nil {
		s.forget()
	}
	return s.fault(ctx, err, fmt.Sprintf("take back the parts of %q", key))
}

func (u *upload) sendParts(ctx context.Context, key, id string, r *remote.Reader, there map[int]minio.ObjectPart) ([]minio.CompletePart, error) {
	size := u.partSize(r.Size)
	parts := make([]minio.CompletePart, (r.Size+size-1)/size)
	all, until := errgroup.WithContext(ctx)
	all.SetLimit(max(1, min(requestsMost, int(memoryMost/size))))
	for i := range parts {
		if until.Err() != nil {
			break
		}
		text := make([]byte, min(size, r.Size-int64(i)*size))
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, errors.Join(firstOf(r.Err(), err), all.Wait())
		}
		all.Go(func() error {
			sum := sha256.Sum256(text)
			b64 := base64.StdEncoding.EncodeToString(sum[:])
			if p := there[i+1]; p.ChecksumSHA256 == b64 && p.Size == int64(len(text)) {
				parts[i] = minio.CompletePart{PartNumber: i + 1, ETag: p.ETag, ChecksumSHA256: b64}
				return nil
			}
			header := make(http.Header)
			header.Set(checksum, b64)
			part, err := u.core.PutObjectPart(until, u.o.Bucket, key, id, i+1, bytes.NewReader(text), int64(len(text)), minio.PutObjectPartOptions{
				Sha256Hex: hex.EncodeToString(sum[:]), CustomHeader: header, DisableContentSha256: true,
			})
			parts[i] = minio.CompletePart{PartNumber: i + 1, ETag: part.ETag, ChecksumSHA256: b64}
			return err
		})
	}
	return parts, all.Wait()
}

// partSize is that of an object: as configured, or what keeps the parts countable.
func (u *upload) partSize(size int64) int64 {
	const mebi = 1 << 20
	least := (size + partsMost - 1) / partsMost
	if least <= u.o.PartSize {
		return u.o.PartSize
	}
	return (least + mebi - 1) / mebi * mebi
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
