package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// tree is what a folder holds: the content of files by their path in it. A folder is a path
// that ends in a slash.
type tree map[string]string

// digest identifies a tree.
func (t tree) digest() string {
	h := sha256.New()
	paths := make([]string, 0, len(t))
	for path := range t {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		fmt.Fprintf(h, "%q %q\n", path, t[path])
	}
	return string(h.Sum(nil))
}

// write makes a folder hold the tree.
func (t tree) write(folder string) error {
	for path, content := range t {
		full := filepath.Join(folder, path)
		if path[len(path)-1] == '/' {
			if err := os.MkdirAll(full, 0o700); err != nil {
				return err
			}
			continue
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o700), os.WriteFile(full, []byte(content), 0o600)); err != nil {
			return err
		}
	}
	return nil
}

// inode is a file or a folder, whatever its name.
type inode struct {
	folder  bool
	content string            // of a file
	names   map[string]uint64 // of a folder
}

// A medium is what of a folder would outlive a power cut, at least: the content that was
// synced of each file, and the names that were synced of each folder.
type medium struct {
	root   string
	top    uint64
	synced map[uint64]inode
}

func newMedium(root string) (*medium, error) {
	top, all, err := scan(root)
	return &medium{root: root, top: top, synced: all}, err
}

// scan reads a folder as it is in memory.
func scan(root string) (top uint64, all map[uint64]inode, err error) {
	all = map[uint64]inode{}
	top, err = scanInto(root, all)
	return top, all, err
}

func scanInto(path string, all map[uint64]inode) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return 0, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		b, err := os.ReadFile(path)
		all[st.Ino] = inode{content: string(b)}
		return st.Ino, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return 0, err
	}
	names := map[string]uint64{}
	for _, e := range entries {
		ino, err := scanInto(filepath.Join(path, e.Name()), all)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another command's socket or lock
		}
		if err != nil {
			return 0, err
		}
		names[e.Name()] = ino
	}
	all[st.Ino] = inode{folder: true, names: names}
	return st.Ino, nil
}

// sync takes note that a file or a folder reaches the medium.
func (m *medium) sync(ino uint64) error {
	_, now, err := scan(m.root)
	if n, ok := now[ino]; ok && err == nil {
		m.synced[ino] = n
	}
	return err
}

// after lists what a power cut at this instant may leave: everything that memory holds; the same with
// nothing in the files that were not synced; and only what was synced.
func (m *medium) after() (map[string]tree, error) {
	top, now, err := scan(m.root)
	if err != nil {
		return nil, err
	}
	truncated := map[uint64]inode{}
	for ino, n := range now {
		if s, ok := m.synced[ino]; !n.folder && (!ok || s.content != n.content) {
			n.content = ""
		}
		truncated[ino] = n
	}
	out := map[string]tree{"all of memory": {}, "files that were not synced are empty": {}, "only what was synced": {}}
	collect(out["all of memory"], now, top, "")
	collect(out["files that were not synced are empty"], truncated, top, "")
	collect(out["only what was synced"], m.synced, m.top, "")
	return out, nil
}

// collect adds what is below a folder.
func collect(to tree, all map[uint64]inode, folder uint64, path string) {
	for name, ino := range all[folder].names {
		switch n, ok := all[ino]; {
		case !ok:
			to[path+name] = "" // its name was synced, and nothing of it
		case n.folder:
			to[path+name+"/"] = ""
			collect(to, all, ino, path+name+"/")
		default:
			to[path+name] = n.content
		}
	}
}
