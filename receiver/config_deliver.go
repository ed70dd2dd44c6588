package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"ecluse/internal/config"
	"ecluse/internal/disk"
	"ecluse/receiver/deliver"
	"ecluse/receiver/deliver/command"
	"ecluse/receiver/deliver/oci"
	"ecluse/receiver/deliver/remote"
	"ecluse/receiver/deliver/s3"
)

// DeliverConfig is one destination: a directory, a store, a registry, or a program.
type DeliverConfig struct {
	As        string          `yaml:"as"`
	Directory string          `yaml:"directory"`
	S3        S3Config        `yaml:"s3"`
	OCI       OCIConfig       `yaml:"oci"`
	Command   []string        `yaml:"command"`
	Timeout   config.Duration `yaml:"timeout"`
	Clash     string          `yaml:"clash"`
	Mode      ModeConfig      `yaml:"mode"`
}

// SetDefaults is for keys that are not there.
func (d *DeliverConfig) SetDefaults() {
	*d = DeliverConfig{
		Clash: deliver.KeepBoth.String(),
		Mode:  ModeConfig{Files: config.Mode(deliver.DefaultFileMode), Directories: config.Mode(deliver.DefaultDirMode)},
	}
}

// ModeConfig says what group and others may do with what is delivered.
type ModeConfig struct {
	Files       config.Mode `yaml:"files"`
	Directories config.Mode `yaml:"directories"`
}

// S3Config is a prefix of a bucket.
type S3Config struct {
	Given bool `yaml:"-"`

	Endpoint      string `yaml:"endpoint"`
	Bucket        string `yaml:"bucket"`
	Prefix        string `yaml:"prefix"`
	Region        string `yaml:"region"`
	AccessKeyFile string `yaml:"access_key_file"`
	CA            string `yaml:"ca"`
	Names         string `yaml:"names"`
}

// SetDefaults is called where there is a store.
func (s *S3Config) SetDefaults() { *s = S3Config{Given: true, Region: "us-east-1", Names: "path"} }

// OCIConfig is a repository of a registry.
type OCIConfig struct {
	Given bool `yaml:"-"`

	Registry        string `yaml:"registry"`
	Repository      string `yaml:"repository"`
	CredentialsFile string `yaml:"credentials_file"`
	CA              string `yaml:"ca"`
}

// SetDefaults is called where there is a registry.
func (o *OCIConfig) SetDefaults() { *o = OCIConfig{Given: true} }

const (
	stallDefault   = 2 * time.Minute  // of a store or a registry: without anything moving
	commandDefault = 10 * time.Minute // of a program: in all
	timeoutLeast   = config.Duration(time.Second)
	nameMost       = 100 // bytes of a destination's name
)

// validate names every fault of one destination.
func (d *DeliverConfig) validate(f *config.Faults) {
	kinds := 0
	for _, given := range []bool{d.Directory != "", d.S3.Given, d.OCI.Given, len(d.Command) > 0} {
		if given {
			kinds++
		}
	}
	if kinds > 1 {
		f.Add("", "it is one of directory, s3, oci and command, and not several: make entries of their own")
	}
	if d.As != "" && (len(d.As) > nameMost || strings.ContainsFunc(d.As, func(c rune) bool { return c == ' ' || !unicode.IsPrint(c) }) || strings.HasPrefix(d.As, "/")) {
		f.Add("as", "%q is no name for a destination: at most %d bytes, no space, no / at the front", d.As, nameMost)
	}
	if _, err := deliver.ParseClash(d.Clash); err != nil {
		f.Add("clash", "%v", err)
	}
	if d.S3.Given || d.OCI.Given || len(d.Command) > 0 {
		d.validateRemote(f)
		return
	}
	f.Absolute("directory", d.Directory)
	if d.As != "" {
		f.Add("as", "a directory is called by its path")
	}
	if d.Timeout != 0 {
		f.Add("timeout", "it is for s3, oci and command")
	}
}

func (d *DeliverConfig) validateRemote(f *config.Faults) {
	if d.Timeout != 0 && d.Timeout < timeoutLeast {
		f.Add("timeout", "%v is below %v", d.Timeout, timeoutLeast)
	}
	var other DeliverConfig
	other.SetDefaults()
	if d.Clash != other.Clash {
		f.Add("clash", "it is for a directory")
	}
	if d.Mode != other.Mode {
		f.Add("mode", "it is for a directory")
	}
	file := func(key, path string, needed bool) {
		if needed || path != "" {
			f.Absolute(key, path)
		}
	}
	switch {
	case d.S3.Given:
		d.S3.validate(f.In("s3"))
		file("s3.access_key_file", d.S3.AccessKeyFile, true)
		file("s3.ca", d.S3.CA, false)
	case d.OCI.Given:
		if _, err := oci.New(oci.Options{Registry: d.OCI.Registry, Repository: d.OCI.Repository}); err != nil {
			f.Add("oci", "%v", err)
		}
		file("oci.credentials_file", d.OCI.CredentialsFile, false)
		file("oci.ca", d.OCI.CA, false)
	default:
		if err := command.CheckArguments(d.Command); err != nil {
			f.Add("command", "%v", err)
		}
	}
}

func (s *S3Config) validate(f *config.Faults) {
	if _, _, err := s3.ParseEndpoint(s.Endpoint); err != nil {
		f.Add("endpoint", "%v", err)
	}
	if s.Bucket == "" || strings.ContainsAny(s.Bucket, "/ ") {
		f.Add("bucket", "%q is no name of a bucket", s.Bucket)
	}
	names, ok := s3.ParseNames(s.Names)
	if !ok {
		f.Add("names", "%q is neither path nor short", s.Names)
	}
	switch {
	case strings.HasPrefix(s.Prefix, "/") || strings.Contains(s.Prefix, "//") || strings.ContainsFunc(s.Prefix, func(c rune) bool { return !unicode.IsPrint(c) }):
		f.Add("prefix", "%q is no beginning of an object's name: cssf/, for example", s.Prefix)
	case names == s3.Short && len(s.Prefix) > s3.ShortPrefixMost:
		f.Add("prefix", "%q has more than %d characters: with names: short an object's name has at most %d in all", s.Prefix, s3.ShortPrefixMost, s3.ShortMost)
	}
}

// validateDestinations names the faults of all destinations of one tenant.
func validateDestinations(f *config.Faults, list []DeliverConfig) {
	directories, names := map[string]bool{}, map[string]bool{}
	for i, d := range list {
		in := f.In("deliver[%d]", i)
		d.validate(in)
		if d.Directory != "" {
			if clean := filepath.Clean(d.Directory); directories[clean] {
				in.Add("directory", "%q stands twice", d.Directory)
			} else {
				directories[clean] = true
			}
			continue
		}
		to, err := d.remote(nil)
		if err != nil || to == nil {
			continue // told already
		}
		if names[to.Name()] {
			in.Add("as", "two destinations are called %q: give one a name of its own", to.Name())
		}
		names[to.Name()] = true
	}
}

// checkDirectories refuses directories that lie where something else does: others read there, and names are taken and replaced.
func (c *Config) checkDirectories(f *config.Faults, tenant int) {
	secrets := c.secrets()
	for i, d := range c.Tenants[tenant].Deliver {
		if !filepath.IsAbs(d.Directory) {
			continue
		}
		to := config.Directory{Key: fmt.Sprintf("tenants[%d].deliver[%d].directory", tenant, i), Path: d.Directory}
		config.Apart(f, to, config.Directory{Key: "state", Path: c.State})
		for _, file := range append([]config.Directory{{Key: "identity", Path: c.Identity}, {Key: "allowed_signers", Path: c.AllowedSigners}, {Key: "officers", Path: c.Officers}, {Key: "officer_key", Path: c.OfficerKey}}, secrets...) {
			if file.Path != "" {
				config.Outside(f, file, to)
			}
		}
	}
}

// secrets are the files in which keys of destinations stand.
func (c *Config) secrets() (files []config.Directory) {
	for i, t := range c.Tenants {
		for j, d := range t.Deliver {
			at := fmt.Sprintf("tenants[%d].deliver[%d].", i, j)
			files = append(files, config.Directory{Key: at + "s3.access_key_file", Path: d.S3.AccessKeyFile}, config.Directory{Key: at + "oci.credentials_file", Path: d.OCI.CredentialsFile})
		}
	}
	return files
}

// checkPlaces refuses two tenants in one place of a store or a registry: the names of one would replace those of the other.
func (c *Config) checkPlaces(f *config.Faults) {
	taken := map[string]string{}
	for i, t := range c.Tenants {
		for j, d := range t.Deliver {
			place := ""
			switch {
			case d.S3.Given:
				host, _, _ := s3.ParseEndpoint(d.S3.Endpoint)
				place = "s3 " + host + " " + d.S3.Bucket + " " + d.S3.Prefix
			case d.OCI.Given:
				host, _ := oci.ParseRegistry(d.OCI.Registry)
				place = "oci " + host + " " + d.OCI.Repository
			default:
				continue
			}
			key := fmt.Sprintf("tenants[%d].deliver[%d]", i, j)
			if other := taken[place]; other != "" {
				f.Add(key, "it is the place of %s: names of one would replace those of the other", other)
			}
			taken[place] = key
		}
	}
}

// name is what a destination is called.
func (d *DeliverConfig) name() string {
	if to, err := d.remote(disk.New()); err == nil && to != nil {
		return to.Name()
	}
	return cmp.Or(d.Directory, d.As)
}

// remote makes the destination that an entry describes; nil for a directory.
func (d *DeliverConfig) remote(disks *disk.Disk) (remote.Destination, error) {
	stall := cmp.Or(d.Timeout.Std(), stallDefault)
	switch {
	case d.S3.Given:
		names, _ := s3.ParseNames(d.S3.Names)
		return s3.New(s3.Options{
			Name: d.As, Endpoint: d.S3.Endpoint, Bucket: d.S3.Bucket, Prefix: d.S3.Prefix, Region: d.S3.Region, KeyFile: d.S3.AccessKeyFile, CA: d.S3.CA, Names: names, Stall: stall, Disk: disks,
		})
	case d.OCI.Given:
		return oci.New(oci.Options{
			Name: d.As, Registry: d.OCI.Registry, Repository: d.OCI.Repository, Credentials: d.OCI.CredentialsFile, CA: d.OCI.CA, Stall: stall, Disk: disks,
		})
	case len(d.Command) > 0:
		return command.New(command.Options{Name: d.As, Argv: d.Command, Timeout: cmp.Or(d.Timeout.Std(), commandDefault), Disk: disks}), nil
	}
	return nil, nil
}
