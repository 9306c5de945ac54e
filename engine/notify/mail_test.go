package notify

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moonlatch/engine/feed"
)

// smtpServer takes mails on loopback, as a real one does. With a certificate it
// offers STARTTLS, or speaks TLS from the start, and wants a password behind it.
type smtpServer struct {
	cert     *tls.Config // nil: no TLS
	implicit bool        // TLS from the start
	mails    chan string // what comes behind DATA, and before it who logged in and how
}

// serve serves until the test ends and returns the server's address.
func (s *smtpServer) serve(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s.mails = make(chan string, 16)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if s.implicit {
				c = tls.Server(c, s.cert)
			}
			go s.talk(c)
		}
	}()
	return l.Addr().String()
}

func (s *smtpServer) talk(c net.Conn) {
	defer func() { c.Close() }()
	in, secure, login := bufio.NewReader(c), s.implicit, "nobody"
	say := func(text string) { fmt.Fprint(c, text+"\r\n") }
	say("220 test")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word = strings.ToUpper(word); {
		case word == "EHLO" && s.cert != nil && !secure:
			say("250-test\r\n250 STARTTLS")
		case word == "EHLO" && s.cert != nil:
			say("250-test\r\n250 AUTH PLAIN")
		case word == "STARTTLS":
			say("220 go on")
			c = tls.Server(c, s.cert)
			in, secure = bufio.NewReader(c), true
		case word == "AUTH":
			text, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			if login = strings.ReplaceAll(string(text), "\x00", ":"); login != ":firewall:s3cret" {
				say("535 no")
				continue
			}
			say("235 ok")
		case word == "MAIL" && s.cert != nil && (!secure || login == "nobody"):
			say("530 log in first")
		case word == "DATA":
			say("354 go on")
			s.mails <- fmt.Sprintf("tls=%t login=%s\n%s", secure, login, dotted(in))
			say("250 ok")
		case word == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// dotted reads up to the line that is a dot.
func dotted(in *bufio.Reader) string {
	var b strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil || line == ".\r\n" {
			return b.String()
		}
		b.WriteString(line)
	}
}

func mailTarget(address, security, more string) string {
	return fmt.Sprintf("[targets.ops]\nformat = \"mail\"\nserver = %q\ntls = %q\nfrom = \"fw@example.org\"\nto = [\"ann@example.org\"]\ntitle = \"{{.Kind}} on {{.Host}}\"\n%s", address, security, more)
}

// TestMail brings a message to an SMTP server, and none where STARTTLS is wanted but not offered.
func TestMail(t *testing.T) {
	var s smtpServer
	address := s.serve(t)
	hub, n, _ := start(t, mailTarget(address, "none", ""))
	hub.Publish(trialEnd())
	select {
	case got := <-s.mails:
		for _, want := range []string{"From: <fw@example.org>", "To: <ann@example.org>", "Subject: trial_end on web1", "generation=3D8"} {
			if !strings.Contains(got, want) {
				t.Errorf("%s\nlacks %q", got, want)
			}
		}
	case <-time.After(generous):
		t.Fatalf("no mail: %+v", n.Stats())
	}
	c, err := parse([]byte(mailTarget(address, "starttls", "")))
	if err != nil {
		t.Fatal(err)
	}
	if err := New(c, hub, slog.New(slog.DiscardHandler)).Test(t.Context(), "ops"); err == nil || !strings.Contains(err.Error(), "STARTTLS") {
		t.Errorf("without STARTTLS: %v", err)
	}
}

// TestMailWithTLS logs in behind TLS, by STARTTLS and from the start. A certificate that
// nobody vouches for gets neither password nor mail.
func TestMailWithTLS(t *testing.T) {
	web := httptest.NewTLSServer(nil) // for its certificate
	defer web.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, security := range []string{"starttls", "tls"} {
		for _, tt := range []struct {
			name, password string
			trusted        bool
			want           string // of the error; "" for a mail
		}{
			{"logs in", "s3cret", true, ""},
			{"wrong password", "an0ther", true, "535"},
			{"unknown certificate", "s3cret", false, "certificate"},
		} {
			t.Run(security+"/"+tt.name, func(t *testing.T) {
				s := smtpServer{cert: &tls.Config{Certificates: web.TLS.Certificates}, implicit: security == "tls"}
				more := fmt.Sprintf("user = \"firewall\"\npassword = %q\n", tt.password)
				if tt.trusted {
					more += fmt.Sprintf("ca_file = %q\n", ca)
				}
				c, err := parse([]byte(mailTarget(s.serve(t), security, more)))
				if err != nil {
					t.Fatal(err)
				}
				err = New(c, feed.NewHub(), slog.New(slog.DiscardHandler)).Test(t.Context(), "ops")
				if tt.want != "" {
					if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), tt.password) || len(s.mails) > 0 {
						t.Errorf("%v, and %d mails, want %q", err, len(s.mails), tt.want)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := <-s.mails; !strings.HasPrefix(got, "tls=true login=:firewall:s3cret\n") || !strings.Contains(got, "Subject: notice on ") {
					t.Errorf("the server got %s", got)
				}
			})
		}
	}
}
