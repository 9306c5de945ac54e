package foreign

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"moonlatch/engine/boottime"
	"moonlatch/engine/nft"
)

// A Snapshot is everything that filters on a machine, at one time, or what a file says that is to be. It is not changed once it is made.
type Snapshot struct {
	Taken  time.Time
	at     boottime.Instant
	nft    *nft.Image
	legacy map[string]string // what iptables-save and its like print, by family
	ipsets *ipsets           // nil to leave them alone
	fresh  bool              // timeouts begin when it is put back
}

// newSnapshot returns an empty snapshot that is taken now.
func newSnapshot() (*Snapshot, error) {
	now, err := boottime.Now()
	if err != nil {
		return nil, err
	}
	return &Snapshot{Taken: time.Now().UTC(), at: now, nft: &nft.Image{}, legacy: map[string]string{}}, nil
}

// elapsed is how long ago the snapshot was taken. Across a reboot only the wall clock tells.
func (s *Snapshot) elapsed() time.Duration {
	if s.fresh {
		return 0
	}
	now, err := boottime.Now()
	if d, ok := now.Sub(s.at); err == nil && ok {
		return d
	}
	return max(time.Since(s.Taken), 0)
}

// Tables describes the nf_tables part of the snapshot.
func (s *Snapshot) Tables() []nft.TableImage { return s.nft.Tables() }

// snapshotMagic begins a file with a snapshot: its version, and the SHA-256 sum of what follows.
const snapshotMagic = "moonlatch snapshot 1 "

// errDamaged is a snapshot file that is not as it was written.
var errDamaged = errors.New("the file is damaged or incomplete")

// file is a snapshot on disk.
type file struct {
	Taken  time.Time         `json:"taken"`
	At     boottime.Instant  `json:"at"`
	NFT    []byte            `json:"nft"`
	Legacy map[string]string `json:"legacy"`
	IPSets *ipsets           `json:"ipsets"`
	Fresh  bool              `json:"fresh,omitempty"`
}

// Save writes the snapshot to a file, which holds either all of it or what it held before, also after a power cut.
func (s *Snapshot) Save(path string) error {
	b, err := s.encode()
	if err != nil {
		return fmt.Errorf("save the snapshot: %w", err)
	}
	if err := replaceFile(path, b); err != nil {
		return fmt.Errorf("save the snapshot: %w", err)
	}
	return nil
}

func (s *Snapshot) encode() ([]byte, error) {
	image, err := s.nft.MarshalBinary()
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(file{s.Taken, s.at, image, s.legacy, s.ipsets, s.fresh})
	if err != nil {
		return nil, err
	}
	return append(fmt.Appendf(nil, "%s%x\n", snapshotMagic, sha256.Sum256(body)), body...), nil
}

// Load reads a snapshot that Save wrote. It refuses a file that is not as it was written.
func Load(path string) (*Snapshot, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load the snapshot: %w", err)
	}
	s, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("load the snapshot %s: %w", path, err)
	}
	return s, nil
}

func decode(b []byte) (*Snapshot, error) {
	head, body, ok := bytes.Cut(b, []byte("\n"))
	if !ok || string(head) != fmt.Sprintf("%s%x", snapshotMagic, sha256.Sum256(body)) {
		return nil, errDamaged
	}
	return decodeBody(body)
}

func decodeBody(body []byte) (*Snapshot, error) {
	var f file
	if err := json.Unmarshal(body, &f); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	image, err := nft.ParseImage(f.NFT)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return &Snapshot{f.Taken, f.At, image, f.Legacy, f.IPSets, f.Fresh}, nil
}

// replaceFile writes a file beside the one it then becomes.
func replaceFile(path string, b []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".snapshot-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // no longer there if all went well
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
