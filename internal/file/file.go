// Package file reads files that people name: regular ones, of a bounded size. A device
// without end and a pipe that nobody writes to are errors at once. Of what is in them it
// knows certificates alone.
package file

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Small bounds what people write, and certificates, in bytes.
const Small = 16 << 20

// Open opens a regular file of at most so many bytes.
func Open(path string, most int64) (*os.File, error) {
	// Opening a FIFO would wait for who writes to it.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	switch {
	case err != nil:
	case !fi.Mode().IsRegular():
		err = fmt.Errorf("%s: not a regular file (%v)", path, fi.Mode().Type())
	case fi.Size() > most:
		err = tooLarge(path, most)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Read gives what is in a regular file of at most so many bytes.
func Read(path string, most int64) ([]byte, error) {
	f, err := Open(path, most)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, most+1)) // it may grow
	if err == nil && int64(len(b)) > most {
		err = tooLarge(path, most)
	}
	return b, err
}

// KeyPair reads a certificate and its key, PEM files.
func KeyPair(certificate, key string) (tls.Certificate, error) {
	cert, err := Read(certificate, Small)
	if err != nil {
		return tls.Certificate{}, err
	}
	private, err := Read(key, Small)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(cert, private)
	if err != nil {
		return pair, fmt.Errorf("certificate %s with key %s: %w", certificate, key, err)
	}
	return pair, nil
}

// Authorities reads the certificates of authorities, a PEM file.
func Authorities(path string) (*x509.CertPool, error) {
	pem, err := Read(path, Small)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return pool, nil
}

func tooLarge(path string, most int64) error {
	return fmt.Errorf("%s: larger than %d bytes", path, most)
}
