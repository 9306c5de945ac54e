package web

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"
)

func readStatic(t *testing.T, name string) string {
	t.Helper()
	text, err := static.ReadFile("static/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestVendored: the files of other projects are those that were taken, and their licences are there.
func TestVendored(t *testing.T) {
	listed := map[string]bool{"vendored.txt": true}
	for line := range strings.Lines(readStatic(t, "lib/vendored.txt")) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		name, want, project := fields[0], fields[1], fields[2]
		listed[name] = true
		sum := sha256.Sum256([]byte(readStatic(t, "lib/"+name)))
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%s has sha256 %s and not %s: it is not the file that was vendored", name, got, want)
		}
		listed[project+".LICENSE.txt"] = true
		if !strings.Contains(readStatic(t, "lib/"+project+".LICENSE.txt"), "icense") {
			t.Errorf("%s.LICENSE.txt is no licence", project)
		}
	}
	listed["preact.LICENSE.txt"] = true // within htm's file
	files, err := static.ReadDir("static/lib")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !listed[f.Name()] {
			t.Errorf("lib/%s is in no list of what was vendored", f.Name())
		}
	}
}

// TestPage: the page needs nothing that its own policy would not let it load, and all of it is there.
func TestPage(t *testing.T) {
	refers := regexp.MustCompile(`(?:(?:src|href)="(/[^"#]+)"|from "(\./[^"]+)")`)
	inline := regexp.MustCompile(`(?i)<script(>| [^>]*[^/]>[^<])|<style|\sstyle=|\son[a-z]+="|javascript:|innerHTML|\beval\(|new Function`)
	err := fs.WalkDir(static, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(name, "static/lib/") {
			return err
		}
		if mediaTypes[path.Ext(name)] == "" {
			t.Errorf("%s has no media type", name)
		}
		text := readStatic(t, strings.TrimPrefix(name, "static/"))
		if found := inline.FindString(text); found != "" {
			t.Errorf("%s: %q is what the content policy forbids", name, found)
		}
		for _, m := range refers.FindAllStringSubmatch(text, -1) {
			to := strings.TrimPrefix(m[1]+m[2], ".")
			if _, err := static.ReadFile("static" + to); err != nil {
				t.Errorf("%s refers to %s: %v", name, to, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
