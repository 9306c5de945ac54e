package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"syscall"
	"time"

	"moonlatch/engine/feed"
)

// lookEvery is how often a file is looked for under its name, to notice that it was rotated.
const lookEvery = time.Second

// file is a file of JSON lines, which is opened anew when another, or none, has its name.
type file struct {
	path   string
	open   *os.File
	looked time.Time
	torn   bool // the last line is not complete
}

// File appends to a file, which must be writable now. logrotate may move it away at any time.
func File(hub *feed.Hub, path string, log *slog.Logger) (*Output, error) {
	f := &file{path: path}
	if err := f.reopen(); err != nil {
		return nil, fmt.Errorf("events file: %w", err)
	}
	return &Output{name: "events file", hub: hub, sink: f, log: log}, nil
}

func (f *file) reopen() error {
	f.Close()
	opened, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	f.open, f.torn = opened, false
	return nil
}

func (f *file) write(it *feed.Item) error {
	if now := time.Now(); f.open == nil || now.Sub(f.looked) > lookEvery {
		f.looked = now
		if f.moved() {
			if err := f.reopen(); err != nil {
				return err
			}
		}
	}
	line, err := json.Marshal(it)
	if err != nil {
		return err
	}
	if f.torn { // by a disk that was full
		line = append([]byte{'\n'}, line...)
	}
	n, err := f.open.Write(append(line, '\n'))
	f.torn = err != nil && (n > 0 || f.torn)
	return err
}

// moved reports whether the open file is not the one that has the name.
func (f *file) moved() bool {
	if f.open == nil {
		return true
	}
	var mine, named syscall.Stat_t
	err := syscall.Stat(f.path, &named)
	if errors.Is(err, fs.ErrNotExist) || err == nil && syscall.Fstat(int(f.open.Fd()), &mine) != nil {
		return true
	}
	return err == nil && (mine.Ino != named.Ino || mine.Dev != named.Dev)
}

// Close implements io.Closer.
func (f *file) Close() error {
	if f.open == nil {
		return nil
	}
	err := f.open.Close()
	f.open = nil
	return err
}
