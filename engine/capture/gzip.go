package capture

import (
	"bufio"
	"compress/gzip"
)

// uncompressed undoes gzip where r begins with its mark (RFC 1952, 2.3.1).
func uncompressed(r *bufio.Reader) (*bufio.Reader, error) {
	if magic, err := r.Peek(2); err != nil || magic[0] != 0x1f || magic[1] != 0x8b {
		return r, nil
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	return bufio.NewReaderSize(z, 1<<16), nil
}
