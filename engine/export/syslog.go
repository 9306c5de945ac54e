package export

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"moonlatch/engine/feed"
)

// facility is "system daemons", RFC 5424 §6.2.1.
const facility = 3

// patience is how long a server may take to accept a connection, or a line.
const patience = 5 * time.Second

// localSocket is where the machine's own syslog listens.
const localSocket = "/dev/log"

// syslogServer is a syslog server: RFC 5424 over UDP, and over TCP with octet counting (RFC 6587 §3.4.1). The
// machine's own, which knows but the older format, gets that.
type syslogServer struct {
	network, address string
	host             string
	patience         time.Duration
	conn             net.Conn
}

// Syslog sends to udp://HOST[:PORT], tcp://HOST[:PORT], or the socket of this machine: "unix", or unix:///PATH.
func Syslog(hub *feed.Hub, to string, log *slog.Logger) (*Output, error) {
	s, err := parseServer(to)
	if err != nil {
		return nil, err
	}
	return &Output{name: "syslog " + to, hub: hub, sink: s, log: log, keep: true}, nil
}

func parseServer(to string) (*syslogServer, error) {
	bad := fmt.Errorf("syslog %q: write it as udp://logs.example.org:514, tcp://logs.example.org:514, unix, or unix:///dev/log", to)
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "-"
	}
	if to == "unix" {
		return &syslogServer{network: "unixgram", address: localSocket, host: host, patience: patience}, nil
	}
	u, err := url.Parse(to)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, bad
	}
	switch {
	case u.Scheme == "unix" && u.Host == "" && strings.HasPrefix(u.Path, "/"):
		return &syslogServer{network: "unixgram", address: u.Path, host: host, patience: patience}, nil
	case (u.Scheme == "udp" || u.Scheme == "tcp") && u.Hostname() != "" && u.Path == "":
		port := u.Port()
		if port == "" {
			port = "514"
		}
		return &syslogServer{network: u.Scheme, address: net.JoinHostPort(u.Hostname(), port), host: host, patience: patience}, nil
	}
	return nil, bad
}

func (s *syslogServer) write(it *feed.Item) error {
	if s.conn == nil {
		conn, err := net.DialTimeout(s.network, s.address, s.patience)
		if err != nil {
			return err
		}
		s.conn = conn
	}
	s.conn.SetWriteDeadline(time.Now().Add(s.patience))
	if _, err := s.conn.Write([]byte(s.message(it))); err != nil {
		s.Close()
		return err
	}
	return nil
}

func (s *syslogServer) message(it *feed.Item) string {
	level, _, _ := it.Line()
	priority := facility*8 + severity(level)
	if it.Kind == feed.KindEvent {
		priority = facility*8 + severity(slog.LevelInfo)
	}
	text := strings.Map(printable, Line(it))
	if s.network == "unixgram" {
		return fmt.Sprintf("<%d>%s moonlatch[%d]: %s", priority, it.Time.Local().Format(time.Stamp), os.Getpid(), text)
	}
	m := fmt.Sprintf("<%d>1 %s %s moonlatch %d %s - %s", priority, it.Time.UTC().Format("2006-01-02T15:04:05.000000Z"), s.host, os.Getpid(), it.Kind, text)
	if s.network == "tcp" {
		return fmt.Sprintf("%d %s", len(m), m)
	}
	return m
}

// printable keeps one item one line.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

// severity is that of RFC 5424 §6.2.1.
func severity(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}

// Close implements io.Closer.
func (s *syslogServer) Close() error {
	if s.conn == nil {
		return nil
	}
	err := s.conn.Close()
	s.conn = nil
	return err
}
