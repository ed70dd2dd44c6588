package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"ecluse/internal/disk"
	"ecluse/receiver/deliver/remote"
)

// Options of a Registry.
type Options struct {
	Name        string // "": made of the rest
	Registry    string // HOST[:PORT]
	Repository  string // below which everything goes
	Credentials string // a file of one line NAME:PASSWORD; "": nobody
	CA          string // certificates in PEM; "": those of the machine
	Stall       time.Duration
	Disk        *disk.Disk

	backoff time.Duration // before a request is made again; 0: that of the package
}

const backoff = 300 * time.Millisecond

// Registry is one repository, and what is below it.
type Registry struct {
	o  Options
	at name.Registry
}

// New makes a Registry of options that were validated. Nothing is asked yet.
func New(o Options) (*Registry, error) {
	host, err := ParseRegistry(o.Registry)
	if err != nil {
		return nil, err
	}
	at, err := name.NewRegistry(host, name.StrictValidation)
	if err != nil {
		return nil, fmt.Errorf("%q is no registry: write it as HOST:PORT", o.Registry)
	}
	if !repositoryForm.MatchString(o.Repository) {
		return nil, fmt.Errorf("%q is no repository: lower-case letters and digits, with - . _ between them, and / between parts", o.Repository)
	}
	if o.backoff == 0 {
		o.backoff = backoff
	}
	if o.Name == "" {
		o.Name = "oci://" + host + "/" + o.Repository
	}
	return &Registry{o: o, at: at}, nil
}

// ParseRegistry takes HOST[:PORT], in its one form, and says of others what to write.
func ParseRegistry(text string) (string, error) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		rest = text
	}
	rest, path, _ := strings.Cut(rest, "/")
	host, err := remote.Host(rest)
	switch scheme = strings.ToLower(scheme); {
	case err != nil, found && scheme != "https" && scheme != "http":
		return "", fmt.Errorf("%q is no registry: write it as HOST:PORT", text)
	case path != "":
		return "", fmt.Errorf("%q has a path: write registry: %q, and what is behind that into repository:", text, host)
	case found && scheme == "http":
		return "", fmt.Errorf("%q has a scheme: write registry: %q. A registry is asked with TLS and not without, for keys go to it; ca: names who signs its certificate", text, host)
	case found || len(rest) != len(text):
		return "", fmt.Errorf("%q is an address: write registry: %q", text, host)
	}
	return host, nil
}

// Name implements remote.Destination.
func (r *Registry) Name() string { return r.o.Name }

// repository is one below the destination's, or that itself.
func (r *Registry) repository(below string) name.Repository {
	return r.at.Repo(strings.TrimSuffix(r.o.Repository+"/"+below, "/"))
}

// options are those of the present credentials and certificates.
func (r *Registry) options(ctx context.Context) ([]ggcr.Option, func(), error) {
	who := authn.Anonymous
	if r.o.Credentials != "" {
		user, password, err := remote.Secret(r.o.Disk, r.o.Credentials)
		if err != nil {
			return nil, nil, remote.Away(err, "read credentials_file")
		}
		who = &authn.Basic{Username: user, Password: password}
	}
	authorities, err := remote.Authorities(r.o.Disk, r.o.CA)
	if err != nil {
		return nil, nil, remote.Away(err, "read ca")
	}
	through, done := remote.Transport(authorities, r.o.Stall, false)
	return []ggcr.Option{
		ggcr.WithContext(ctx), ggcr.WithAuth(who), ggcr.WithTransport(through), ggcr.WithNondistributable, ggcr.WithUserAgent("ecluse-receiver"),
		ggcr.WithRetryBackoff(ggcr.Backoff{Duration: r.o.backoff, Factor: 3, Jitter: 0.1, Steps: 3}), // what lasts longer is for the next attempt
	}, done, nil
}

// Check implements remote.Destination: the registry answers, and lets us look at the repository.
func (r *Registry) Check(ctx context.Context) error {
	o, done, err := r.options(ctx)
	if err != nil {
		return err
	}
	defer done()
	_, err = ggcr.List(r.repository(""), o...)
	var answer *transport.Error
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		return nil // it is made by the first push
	}
	return r.fault(ctx, err, "look at "+r.repository("").Name())
}

// fault says in words what a registry's answer means, and what can be done.
func (r *Registry) fault(ctx context.Context, err error, act string) error {
	if err == nil || remote.Known(ctx, err) {
		return err
	}
	var answer *transport.Error
	if !errors.As(err, &answer) || answer.StatusCode == 0 {
		if hint := remote.Unreached(err); hint != "" {
			return remote.Away(err, "%s (%s)", act, hint)
		}
		return remote.Away(err, "%s", act)
	}
	switch code := answer.StatusCode; {
	case code == http.StatusUnauthorized:
		return remote.Away(err, "%s (is what credentials_file says right?)", act)
	case code == http.StatusInsufficientStorage:
		return remote.Failed(err, "%s (the registry is full: make room)", act)
	case code == http.StatusForbidden:
		return remote.Failed(err, "%s (may this user write there?)", act)
	case code >= 500:
		return remote.Away(err, "%s (the registry's log says more)", act)
	}
	return remote.Failed(err, "%s", act)
}
