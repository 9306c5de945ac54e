package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"moonlatch/engine/control"
)

//go:embed static
var static embed.FS

// mediaTypes are those of the page's files. What the machine's own list says must not matter.
var mediaTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".txt":  "text/plain; charset=utf-8",
	".json": "application/json",
}

// files serves the page's files by their names, and index.html as the page. A
// browser asks each time whether it has changed: after an upgrade it has.
func files(mux *http.ServeMux) {
	fs.WalkDir(static, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := static.ReadFile(name)
		if err != nil {
			return err
		}
		mux.Handle("GET "+pattern(name), file(name, text))
		return nil
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, control.NotFound, "there is nothing at "+r.URL.Path)
	})
}

func pattern(name string) string {
	if name == "static/index.html" {
		return "/{$}"
	}
	return "/" + strings.TrimPrefix(name, "static/")
}

func file(name string, text []byte) http.Handler {
	sum := sha256.Sum256(text)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Type", mediaTypes[path.Ext(name)])
		w.Write(text)
	})
}
