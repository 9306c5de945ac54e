package probe_test

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"moonlatch/engine/netns"
	"moonlatch/engine/netns/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// The host behind the cable.
const (
	host4 = "192.0.2.2"
	host6 = "[2001:db8::2]"
)

// server is a host behind a cable, with services.
type server struct {
	*netns.Namespace
	lose atomic.Int32 // of the next datagrams, those that get no answer
}

// newServer makes a server behind a cable from the test's own namespace.
func newServer(t *testing.T) *server {
	t.Helper()
	here, err := netns.Current()
	must(t, err)
	defer here.Close()
	t.Cleanup(func() { exec.Command("ip", "link", "delete", "there").Run() })
	return serverOf(t, here)
}

func serverOf(t *testing.T, here *netns.Namespace) *server {
	t.Helper()
	s := &server{Namespace: netnstest.New(t)}
	must(t, netns.Veth(here, "there", s.Namespace, "here"))
	must(t, here.AddAddr("there", "192.0.2.1/24"))
	must(t, here.AddAddr("there", "2001:db8::1/64"))
	must(t, s.AddAddr("here", host4+"/24"))
	must(t, s.AddAddr("here", strings.Trim(host6, "[]")+"/64"))
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rule adds a rule to the input of the server.
func (s *server) rule(t *testing.T, rule string) {
	t.Helper()
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader("table inet t { chain input { type filter hook input priority 0; " + rule + "; }; }")
	out, err := output(s.Namespace, cmd)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func output(n *netns.Namespace, cmd *exec.Cmd) (out []byte, err error) {
	err = n.Do(func() (err error) { out, err = cmd.CombinedOutput(); return err })
	return out, err
}

// listen accepts TCP connections on a port and does nothing with them.
func (s *server) listen(t *testing.T, port int) net.Listener {
	t.Helper()
	var l net.Listener
	must(t, s.Do(func() (err error) { l, err = net.Listen("tcp", fmt.Sprintf(":%d", port)); return err }))
	t.Cleanup(func() { l.Close() })
	return l
}

// answer answers the datagrams to a port.
func (s *server) answer(t *testing.T, port int, reply func(query []byte) []byte) {
	t.Helper()
	var c net.PacketConn
	must(t, s.Do(func() (err error) { c, err = net.ListenPacket("udp", fmt.Sprintf(":%d", port)); return err }))
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if s.lose.Add(-1) < 0 {
				c.WriteTo(reply(buf[:n]), from)
			}
		}
	}()
}

// web serves HTTP on a port.
func (s *server) web(t *testing.T, port int) {
	t.Helper()
	mux := http.NewServeMux()
	status := func(path string, code int) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
	status("/ok", 200)
	status("/missing", 404)
	status("/broken", 503)
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/broken", http.StatusFound) })
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	l := s.listen(t, port)
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
}

// resolve is a name server's answer: it knows www.example.org only.
func resolve(query []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Header.Response, m.Additionals = true, nil
	switch {
	case q.Name.String() != "www.example.org.":
		m.Header.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60},
			Body:   &dnsmessage.AResource{A: [4]byte{192, 0, 2, 80}},
		}}
	}
	out, _ := m.Pack()
	return out
}
