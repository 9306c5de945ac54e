package store

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/engine/netns/netnstest"
)

var discard = slog.New(slog.DiscardHandler)

func TestMain(m *testing.M) {
	if dir := os.Getenv(writeForEver); dir != "" {
		writeUntilKilled(dir)
	}
	if dir := os.Getenv(moveAndDie); dir != "" {
		dieMoving(dir)
	}
	netnstest.Main(m)
}

// TestFullDisk keeps what it can in memory while the disk is full, and counts what it cannot.
func TestFullDisk(t *testing.T) {
	netnstest.Kernel(t) // and in a mount namespace of our own
	dir := t.TempDir()
	must(t, unix.Mount("none", dir, "tmpfs", 0, "size=64m"))
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	var lost atomic.Int64
	s := openIn(t, Config{Dir: dir, Daemon: true, Lost: func() { lost.Add(1) }})
	s.Record(aBan)
	must(t, s.Flush(t.Context()))
	filler := filepath.Join(dir, "filler")
	must(t, exec.Command("sh", "-c", "cat /dev/zero >"+filler+"; true").Run())

	for range queueLimit {
		s.Record(aBan)
	}
	if err := s.Flush(t.Context()); err == nil {
		t.Fatal("a full disk takes everything")
	}
	if st := s.Stats(); st.Failing == "" || st.Failed == 0 {
		t.Errorf("a full disk does not show: %+v", st)
	}
	for range queueLimit + 100 {
		s.Record(aBan)
	}
	if n := s.Stats().Dropped; n < 100 {
		t.Errorf("%d records were dropped, want 100 and more", n)
	}
	must(t, os.Remove(filler))
	must(t, s.Flush(t.Context()))
	st := s.Stats()
	var there uint64
	must(t, s.db.Load().QueryRow("SELECT count(*) FROM history").Scan(&there))
	if there+st.Dropped != 1+2*queueLimit+100 || st.Failing != "" {
		t.Errorf("%d entries are there and %d were dropped, of %d; %+v", there, st.Dropped, 1+2*queueLimit+100, st)
	}
	if lost.Load() != 1 {
		t.Errorf("told of what was lost %d times, want once", lost.Load())
	}
}

// TestDamage sets aside what is no sound database, and begins anew.
func TestDamage(t *testing.T) {
	for name, make := range map[string]func(t *testing.T, path string){
		"garbage": func(t *testing.T, path string) {
			must(t, os.WriteFile(path, bytes.Repeat([]byte("this is no database"), 1000), 0o600))
		},
		"a cut file": func(t *testing.T, path string) {
			fill(t, path)
			must(t, os.Truncate(path, 20_000))
		},
		"somebody else's": func(t *testing.T, path string) {
			db, err := sql.Open("sqlite", path)
			must(t, err)
			_, err = db.Exec("CREATE TABLE bips (ip)")
			must(t, errors.Join(err, db.Close()))
		},
		"a newer version's": func(t *testing.T, path string) {
			fill(t, path)
			db, err := sql.Open("sqlite", path)
			must(t, err)
			_, err = db.Exec(fmt.Sprintf("PRAGMA user_version = %d", version+1))
			must(t, errors.Join(err, db.Close()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			make(t, filepath.Join(dir, File))
			was, err := os.ReadFile(filepath.Join(dir, File))
			must(t, err)
			var lost atomic.Int64
			s := openIn(t, Config{Dir: dir, Daemon: true, Lost: func() { lost.Add(1) }})
			aside, err := filepath.Glob(s.path + ".*Z")
			must(t, err)
			if len(aside) != 1 || s.Stats().SetAside != 1 || lost.Load() != 1 {
				t.Fatalf("set aside: %v, %+v, told %d times", aside, s.Stats(), lost.Load())
			}
			if kept, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(kept, was) {
				t.Errorf("what was set aside is not what was there: %v", err)
			}
			s.Record(aBan)
			if n := len(s.history(t, Filter{})); n != 1 {
				t.Errorf("%d entries in the new one", n)
			}
		})
	}
}

// fill makes a database of some size.
func fill(t *testing.T, path string) {
	t.Helper()
	s := openIn(t, Config{Dir: filepath.Dir(path), Daemon: true})
	for i := range 2000 {
		e := aBan
		e.Why = strings.Repeat("x", i%300)
		s.Record(e)
	}
	must(t, s.Flush(t.Context()))
	_, err := s.db.Load().Exec("PRAGMA wal_checkpoint(truncate)")
	must(t, errors.Join(err, s.Close()))
}

// TestNewerRefused leaves a newer version's database alone, unless it is the daemon that finds it.
func TestNewerRefused(t *testing.T) {
	dir := t.TempDir()
	fill(t, filepath.Join(dir, File))
	db, err := sql.Open("sqlite", filepath.Join(dir, File))
	must(t, err)
	_, err = db.Exec(fmt.Sprintf("PRAGMA user_version = %d", version+1))
	must(t, errors.Join(err, db.Close()))
	_, err = Open(t.Context(), Config{Dir: dir, Log: discard})
	if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "use the moonlatch that made it") {
		t.Errorf("opened by a command: %v", err)
	}
}

// TestDamageFoundLater meets a damaged page only when it is written to.
func TestDamageFoundLater(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, File)
	fill(t, path)
	raw, err := os.ReadFile(path)
	must(t, err)
	for i := 4096 * 2; i < len(raw)-4096*40; i++ { // spare the schema and the end of the tables
		raw[i] ^= 0xa5
	}
	must(t, os.WriteFile(path, raw, 0o600))
	s := openIn(t, Config{Dir: dir, Daemon: true})
	for range 100 {
		s.Record(aBan)
	}
	if n := len(s.history(t, Filter{})); n != 100 {
		t.Errorf("%d entries, want those recorded after the damage was found", n)
	}
	if s.Stats().SetAside != 1 {
		t.Errorf("%+v", s.Stats())
	}
}

// TestSetAsideByAnother goes on in the file that another process has begun.
func TestSetAsideByAnother(t *testing.T) {
	dir := t.TempDir()
	var lost atomic.Int64
	s := openIn(t, Config{Dir: dir, Daemon: true, Lost: func() { lost.Add(1) }})
	s.Record(aBan)
	must(t, s.Flush(t.Context()))
	for _, suffix := range []string{"", "-wal", "-shm"} {
		must(t, os.Rename(s.path+suffix, s.path+".aside"+suffix))
	}
	other := openIn(t, Config{Dir: dir})
	other.Record(aBan)
	must(t, other.Flush(t.Context()))
	s.Record(aBan)
	if n := len(s.history(t, Filter{})); n != 2 || lost.Load() != 1 {
		t.Errorf("%d entries in the new file, want the other's and ours; told %d times", n, lost.Load())
	}
	must(t, s.Close())
	if n := len(other.history(t, Filter{})); n != 2 {
		t.Errorf("%d entries after one of two has closed it", n)
	}
	s.db.Store(other.db.Load()) // for the clean-up
}

// TestMigrations opens a database of every earlier version.
func TestMigrations(t *testing.T) {
	for v := range version {
		t.Run(strconv.Itoa(v), func(t *testing.T) {
			dir := t.TempDir()
			db, err := sql.Open("sqlite", filepath.Join(dir, File))
			must(t, err)
			for i := range v {
				_, err := db.Exec(migrations[i].tables)
				must(t, err)
			}
			if v > 0 {
				_, err = db.Exec("INSERT INTO history (time, kind, addr, bits) VALUES (1, 'ban', x'cb007109', 32)")
				must(t, err)
			}
			_, err = db.Exec(fmt.Sprintf("PRAGMA user_version = %d", v))
			must(t, errors.Join(err, db.Close()))
			s := openIn(t, Config{Dir: dir})
			s.Record(aBan)
			want := 1 + min(v, 1)
			if n := len(s.history(t, Filter{Target: host(attacker)})); n != want || s.Stats().SetAside != 0 {
				t.Errorf("%d entries, want %d; %+v", n, want, s.Stats())
			}
			now, err := userVersion(t.Context(), s.db.Load())
			if err != nil || now != version {
				t.Errorf("version %d, %v", now, err)
			}
		})
	}
}

// TestProcesses has several write at once.
func TestProcesses(t *testing.T) {
	dir := t.TempDir()
	const each = 300
	done := make(chan error)
	for range 4 {
		go func() {
			s, err := Open(context.Background(), Config{Dir: dir, Log: discard})
			if err == nil {
				for i := range each {
					s.Record(aBan)
					if i%50 == 0 {
						err = errors.Join(err, s.Flush(context.Background()))
					}
				}
				err = errors.Join(err, s.Close())
			}
			done <- err
		}()
	}
	for range 4 {
		must(t, <-done)
	}
	if n := len(openIn(t, Config{Dir: dir}).history(t, Filter{})); n != 4*each {
		t.Errorf("%d entries, want %d", n, 4*each)
	}
}

// writeForEver makes the test binary write into the database in this folder until somebody kills it.
const writeForEver = "MOONLATCH_TEST_WRITE"

func writeUntilKilled(dir string) {
	s, err := Open(context.Background(), Config{Dir: dir, Log: discard})
	if err != nil {
		panic(err)
	}
	for i := 0; ; i++ {
		e := aBan
		e.Command = strconv.Itoa(os.Getpid()*1_000_000 + i)
		s.Record(e)
		if err := s.Flush(context.Background()); err != nil {
			panic(err)
		}
		fmt.Println(e.Command)
	}
}

// TestKill finds everything that was said to be written, whenever the writer is killed.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	var acknowledged []string
	for range 10 {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), writeForEver+"="+dir)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		lines := bufio.NewScanner(out)
		first := true
		for lines.Scan() {
			if first {
				time.AfterFunc(time.Duration(rand.IntN(50))*time.Millisecond, func() { cmd.Process.Kill() })
				first = false
			}
			acknowledged = append(acknowledged, lines.Text())
		}
		cmd.Wait()
	}
	there := map[string]bool{}
	s := openIn(t, Config{Dir: dir})
	for _, e := range s.history(t, Filter{}) {
		there[e.Command] = true
	}
	for _, command := range acknowledged {
		if !there[command] {
			t.Errorf("%s was acknowledged, and is not there", command)
		}
	}
	if len(acknowledged) < 10 || s.Stats().SetAside != 0 {
		t.Errorf("%d acknowledged; %+v", len(acknowledged), s.Stats())
	}
}

// TestObserve allocates nothing, and counts what comes faster than it can be counted.
func TestObserve(t *testing.T) {
	s := newStore(t)
	e := Event{Time: noon, Stream: "closed", Rule: "closed", Src: attacker, Proto: 6, Dport: 22}
	s.Observe(&e)
	if n := testing.AllocsPerRun(2000, func() { s.Observe(&e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	const more = 200_000
	for range more {
		s.Observe(&e)
	}
	all, err := s.Top(t.Context(), Sources, noon.Add(-time.Hour), 1)
	must(t, err)
	if got := all[0].Events + int64(s.Stats().Uncounted); got != more+2002 {
		t.Errorf("%d counted and %d not, of %d", all[0].Events, s.Stats().Uncounted, more+2002)
	}
}

// TestFloodOfSources bounds the memory and the rows that spoofed sources cost, and loses none of their number.
func TestFloodOfSources(t *testing.T) {
	tl := newTally()
	events := make([]Event, 1)
	const n = 3 * maxCounted
	for i := range n {
		events[0] = Event{Time: noon, Stream: "closed", Src: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Dport: uint16(i), Proto: 6}
		tl.add(events)
	}
	if len(tl.sources) > maxCounted+1 || len(tl.ports) > maxCounted+1 || len(tl.latest) > maxPackets {
		t.Errorf("%d sources, %d ports, %d packets", len(tl.sources), len(tl.ports), len(tl.latest))
	}
	sum := int64(0)
	rows := tl.busiestSources()
	for _, r := range rows {
		sum += r.events
	}
	if sum != n || len(rows) > maxRows+1 {
		t.Errorf("%d of %d events in %d rows", sum, n, len(rows))
	}
}

// TestReadOnly: what could only be read is written as soon as its file system lets it be.
func TestReadOnly(t *testing.T) {
	s := newStore(t)
	s.Record(aBan)
	must(t, s.Close())
	s = openIn(t, Config{Dir: s.cfg.Dir})
	d, err := connectToRead(t.Context(), s.path, errors.New("read-only"))
	must(t, err)
	must(t, s.db.Swap(d).Close())
	if n := len(s.history(t, Filter{})); n != 1 {
		t.Errorf("%d entries are read", n)
	}
	s.Record(aBan)
	if n := len(s.history(t, Filter{})); n != 2 || s.Stats().Failing != "" {
		t.Errorf("%d entries are written, %s", n, s.Stats().Failing)
	}
}
