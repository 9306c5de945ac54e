package generation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// sealed is how the store writes what it must be able to trust: with its checksum
// beside it.
type sealed struct {
	SHA256 string          `json:"sha256"` // of the body's bytes
	Body   json.RawMessage `json:"body"`
}

// seal returns v as the content of a file that unseal reads.
func seal(v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(sealed{checksum(body), body})
	return append(b, '\n'), err
}

// unseal is the inverse of seal, and returns ErrDamaged for anything that seal did
// not return.
func unseal(b []byte, v any) error {
	var s sealed
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if checksum(s.Body) != s.SHA256 {
		return fmt.Errorf("%w: its checksum is not the one in it", ErrDamaged)
	}
	if again, err := json.Marshal(s); err != nil || !bytes.Equal(append(again, '\n'), b) {
		return errors.Join(fmt.Errorf("%w: it is not written as moonlatch writes it", ErrDamaged), err)
	}
	if err := json.Unmarshal(s.Body, v); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// readSealed reads such a file. Its errors name it.
func readSealed(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := unseal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
