package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"ecluse/internal/disk"
	"ecluse/receiver/deliver/remote"
)

// Options of a Store.
type Options struct {
	Name     string // "": made of the rest
	Endpoint string // https://HOST[:PORT]; http is taken too
	Bucket   string
	Prefix   string // stands before every name, as it is
	Region   string
	KeyFile  string // one line ACCESS_KEY:SECRET_KEY
	CA       string // certificates in PEM; "": those of the machine
	Names    Names
	PartSize int64         // bytes from which an object is sent in parts of this size; 0: DefaultPart
	Stall    time.Duration // without anything moving, then a request is given up
	Disk     *disk.Disk

	tries int // of one request; 0: tries
}

const (
	// DefaultPart is how much is held in memory for one request.
	DefaultPart = 16 << 20

	partsMost    = 10_000   // of one object
	memoryMost   = 64 << 20 // for the requests of one bundle, unless one part takes more
	requestsMost = 4        // at once
	tries        = 4        // of one request: what lasts longer is for the next attempt
)

// Store is one prefix of one bucket.
type Store struct {
	o     Options
	host  string
	plain bool

	mu   sync.Mutex
	core *minio.Core // nil: key and certificates are to be read (again)
	done func()      // closes its connections
}

// New makes a Store of options that were validated. Nothing is asked yet.
func New(o Options) (*Store, error) {
	host, plain, err := ParseEndpoint(o.Endpoint)
	if err != nil {
		return nil, err
	}
	if o.PartSize == 0 {
		o.PartSize = DefaultPart
	}
	if o.tries == 0 {
		o.tries = tries
	}
	if o.Name == "" {
		o.Name = strings.TrimSuffix("s3://"+host+"/"+o.Bucket+"/"+o.Prefix, "/")
	}
	return &Store{o: o, host: host, plain: plain}, nil
}

// ParseEndpoint takes https://HOST[:PORT], or http.
func ParseEndpoint(text string) (host string, plain bool, err error) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		scheme, rest = "", text
	}
	rest, path, _ := strings.Cut(rest, "/")
	host, err = remote.Host(rest)
	switch scheme = strings.ToLower(scheme); {
	case err != nil:
		return "", false, fmt.Errorf("%q is no address of a server: write it as https://HOST:PORT", text)
	case !found:
		return "", false, fmt.Errorf("%q has no scheme: write it as %q", text, "https://"+host)
	case scheme != "https" && scheme != "http":
		return "", false, fmt.Errorf("%q is no address of a server that speaks S3: write it as %q", text, "https://"+host)
	case strings.Trim(path, "/") != "":
		return "", false, fmt.Errorf("%q has a path: write it as %q, and what is behind that into bucket: and prefix:", text, scheme+"://"+host)
	}
	return host, scheme == "http", nil
}

// Name implements remote.Destination.
func (s *Store) Name() string { return s.o.Name }

// client is the client of the present key and certificates.
func (s *Store) client() (*minio.Core, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core != nil {
		return s.core, nil
	}
	key, secret, err := remote.Secret(s.o.Disk, s.o.KeyFile)
	if err != nil {
		return nil, remote.Away(err, "read access_key_file")
	}
	authorities, err := remote.Authorities(s.o.Disk, s.o.CA)
	if err != nil {
		return nil, remote.Away(err, "read ca")
	}
	through, done := remote.Transport(authorities, s.o.Stall, s.plain)
	core, err := minio.NewCore(s.host, &minio.Options{
		Creds: credentials.NewStaticV4(key, secret, ""), Secure: !s.plain, Region: s.o.Region, BucketLookup: minio.BucketLookupPath, MaxRetries: s.o.tries,
		Transport: through,
	})
	if err != nil {
		return nil, remote.Away(err, "endpoint %s", s.o.Endpoint)
	}
	s.core, s.done = core, done
	return core, nil
}

// forget has key and certificates read again by the next attempt: somebody may have corrected them.
func (s *Store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core != nil {
		s.done()
	}
	s.core = nil
}

// Check implements remote.Destination: the store answers, knows the key, and has the bucket.
func (s *Store) Check(ctx context.Context) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	there, err := c.BucketExists(ctx, s.o.Bucket)
	if err == nil && !there {
		err = minio.ErrorResponse{Code: minio.NoSuchBucket, StatusCode: http.StatusNotFound, Message: "there is no such bucket"}
	}
	if err != nil {
		s.forget()
	}
	return s.fault(ctx, err, "look at bucket "+s.o.Bucket)
}

// fault says in words what a store's answer means, and what can be done.
func (s *Store) fault(ctx context.Context, err error, act string) error {
	if err == nil || remote.Known(ctx, err) {
		return err
	}
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		if hint := remote.Unreached(err); hint != "" {
			return remote.Away(err, "%s at %s (%s)", act, s.o.Endpoint, hint)
		}
		return remote.Away(err, "%s at %s", act, s.o.Endpoint)
	}
	said := fmt.Errorf("%s: %s", answer.Code, strings.TrimSpace(answer.Message))
	switch {
	case answer.Code == minio.NoSuchBucket:
		return remote.Away(said, "%s (make the bucket, or correct bucket:)", act)
	case answer.Code == "InvalidAccessKeyId", strings.HasSuffix(answer.Code, "UserNotFound"), answer.Code == "SignatureDoesNotMatch", answer.Code == "RequestTimeTooSkewed", answer.Code == "AuthorizationHeaderMalformed",
		answer.StatusCode == http.StatusUnauthorized:
		return remote.Away(said, "%s (is the key in %s the right one, and region:, and this machine's clock?)", act, s.o.KeyFile)
	case answer.StatusCode == http.StatusInsufficientStorage || strings.Contains(answer.Code, "StorageFull") || strings.Contains(answer.Code, "Quota"):
		return remote.Failed(said, "%s (the store is full: make room)", act)
	case answer.StatusCode == http.StatusForbidden:
		return remote.Failed(said, "%s (may this key write there, or is the object locked?)", act)
	case answer.StatusCode >= 500:
		return remote.Away(said, "%s (the store's log says more)", act)
	}
	return remote.Failed(said, "%s", act)
}
