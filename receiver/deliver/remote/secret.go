package remote

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"strings"

	"ecluse/internal/disk"
)

const (
	secretMost = 4 << 10  // bytes of a file with one line
	caMost     = 10 << 20 // of a bundle of certificates
)

// Secret reads a file of one line, NAME:SECRET. Others than its owner and its group may not read it, and only its owner may write: it is root's, and its group the daemon's.
func Secret(d *disk.Disk, path string) (name, secret string, err error) {
	info, err := d.Stat(path)
	if err != nil {
		return "", "", err
	}
	if mode := info.Mode().Perm(); mode&0o027 != 0 {
		return "", "", fmt.Errorf("%s is open to others (mode %04o): chmod 640 it, and ask whether it is still secret", path, mode)
	}
	if !info.Mode().IsRegular() {
		return "", "", fmt.Errorf("%s is not a regular file", path)
	}
	text, err := d.ReadFile(path, secretMost)
	if err != nil {
		return "", "", err
	}
	line := string(bytes.TrimRight(text, "\r\n"))
	name, secret, ok := strings.Cut(line, ":")
	if !ok || name == "" || secret == "" || strings.ContainsAny(line, "\r\n") {
		return "", "", fmt.Errorf("%s is not one line NAME:SECRET", path)
	}
	return name, secret, nil
}

// Authorities reads the certificates that a server's is to be signed by; with "" those of this machine.
func Authorities(d *disk.Disk, path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	text, err := d.ReadFile(path, caMost)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return pool, nil
}
