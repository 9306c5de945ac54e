package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"moonlatch/engine/geo"
	"moonlatch/engine/geo/geotest"
	"moonlatch/engine/netns"
	"moonlatch/engine/netns/netnstest"
	"moonlatch/engine/ruleset"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// testEnv is a host with a few facts.
func testEnv() Env {
	return Env{
		OpenGeo:    testDatabases,
		Interfaces: func() []string { return []string{"lo", "eth0", "eth1", "wg0"} },
		Addresses: func() []netip.Addr {
			return []netip.Addr{netip.MustParseAddr("192.0.2.80"), netip.MustParseAddr("2001:db8::80")}
		},
		Hostname: "host",
		Resolve: func(name string) ([]netip.Addr, error) {
			if name != "mirror.example.org" {
				return nil, fmt.Errorf("lookup %s: no such host", name)
			}
			return []netip.Addr{netip.MustParseAddr("2001:db8::53"), netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("192.0.2.53")}, nil
		},
		InterfaceName: func(index uint32) string { return [...]string{"", "lo", "eth0", "wg0"}[index] },
	}
}

// testDatabases are those of /var/lib/GeoIP; files anywhere else are real.
func testDatabases(f geo.Files) (*geo.DB, error) {
	dir, err := os.MkdirTemp("", "geo")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	err = errors.Join(
		geotest.Country(dir+"/GeoLite2-Country.mmdb", map[string]string{"203.0.113.0/24": "CN", "198.51.100.0/24": "RU", "2001:db8::/48": "CN"}),
		geotest.ASN(dir+"/GeoLite2-ASN.mmdb", map[string]uint32{"203.0.113.0/24": 64500, "192.0.2.0/24": 64501}))
	if err != nil {
		return nil, err
	}
	f.Country = strings.Replace(f.Country, "/var/lib/GeoIP", dir, 1)
	f.ASN = strings.Replace(f.ASN, "/var/lib/GeoIP", dir, 1)
	return geo.Open(f)
}

// archive opens a txtar file as a policy's folder.
func archive(t testing.TB, file string) fs.FS {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	folder := fstest.MapFS{}
	for _, f := range a.Files {
		folder[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	return folder
}

// policies lists the test policies.
func policies(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/policies/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test policies: %v", err)
	}
	return files
}

// load loads a policy that has no mistakes.
func loadFolder(t testing.TB, files fs.FS, env Env) *Policy {
	t.Helper()
	p, err := Load(files, "policy.lua", env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// loadText loads a policy of one file.
func loadText(t testing.TB, source string, env Env) *Policy {
	t.Helper()
	return loadFolder(t, fstest.MapFS{"policy.lua": {Data: []byte(source)}}, env)
}

// TestGolden compares rulesets with testdata/policies/*.nft; UPDATE=1 writes them.
func TestGolden(t *testing.T) {
	for _, file := range policies(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			p := loadFolder(t, archive(t, file), testEnv())
			got := p.Ruleset().Render(ruleset.Options{Generation: 1}).String()
			golden := strings.TrimSuffix(file, ".txtar") + ".nft"
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("ruleset (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGoldenLoadsIntoKernel(t *testing.T) {
	for _, file := range policies(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(strings.TrimSuffix(file, ".txtar") + ".nft")
			if err != nil {
				t.Fatal(err)
			}
			n := netnstest.New(t)
			if strings.HasPrefix(filepath.Base(file), "modules-of-the-kernel") {
				if err := n.Do(func() error { return parses(string(text)) }); err != nil {
					t.Error(err)
				}
				return
			}
			nft(t, n, string(text))
		})
	}
}

// parses reports what nft itself has against a ruleset that this kernel may lack
// modules for, which shows as "No such file or directory".
func parses(text string) error {
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	out, _ := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "Error: ") && !strings.Contains(line, "No such file or directory") && !strings.Contains(line, "Operation not supported") {
			return errors.New(string(out))
		}
	}
	return nil
}

// nft loads a ruleset into a namespace.
func nft(t *testing.T, n *netns.Namespace, text string) {
	t.Helper()
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := n.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("nft: %v\n%s\n%s", err, out.String(), text)
	}
}

// The same policy must give the same text, however Lua's tables are ordered.
func TestDeterministic(t *testing.T) {
	for _, file := range policies(t) {
		digest := loadFolder(t, archive(t, file), testEnv()).Ruleset().Digest()
		for range 5 {
			if again := loadFolder(t, archive(t, file), testEnv()).Ruleset().Digest(); again != digest {
				t.Errorf("%s: digests differ", file)
			}
		}
	}
}

// A folder of exactly the files that a load read is the same policy.
func TestFilesAreThePolicy(t *testing.T) {
	p := loadFolder(t, archive(t, "testdata/policies/modules.txtar"), testEnv())
	folder := fstest.MapFS{}
	for name, data := range p.Files() {
		folder[name] = &fstest.MapFile{Data: data}
	}
	if len(folder) != 3 {
		t.Errorf("read %d files, want 3", len(folder))
	}
	if loadFolder(t, folder, testEnv()).Ruleset().Digest() != p.Ruleset().Digest() {
		t.Error("the policy made of the files read is another")
	}
}
