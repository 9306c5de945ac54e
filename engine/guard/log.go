package guard

import (
	"fmt"
	"log/slog"
	"log/syslog"
	"os"
	"time"
)

// maxLog is the size at which the log makes room, keeping the part before it.
const maxLog = 1 << 20

// logFile appends to a file that it opens for each line: a watchdog may run for
// weeks, and its log must neither grow without end nor keep a disk busy.
type logFile string

func (l logFile) Write(b []byte) (int, error) {
	path := string(l)
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		os.Rename(path, path+".1")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Write(b)
}

func (w *Watch) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(logFile(w.path("log")), nil))
}

// announcePatience is how long the machine's log may take: it may hang.
const announcePatience = 2 * time.Second

// announce tells the machine's log of a result, where it has one.
func (d *watchdog) announce(r Result) {
	told := make(chan struct{})
	go func() {
		defer close(told)
		s, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_WARNING, "moonlatch")
		if err != nil {
			return
		}
		defer s.Close()
		fmt.Fprintf(s, "watchdog over %q: %s; tries: %d; %s%s", r.What, r.Outcome, r.Tries, r.Did, r.Error)
	}()
	select {
	case <-told:
	case <-time.After(announcePatience):
	}
}
