package main

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"github.com/crosstie/crosstie/uiupdate"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"time"
)

//go:embed page
var pageFiles embed.FS

// A page is what a browser sees: the files, the two streams that fill them, and the buttons.
type page struct {
	board     *board
	stock     *stockView
	controls  controls
	customers *customers

	streams [2]*uiupdate.Handler // of the stock and of the board
	lost    int64                // streams of browsers that vanished, as far as the board was told
}

func newPage(b *board, stock *stockView, c controls) *page {
	o := &uiupdate.HandlerOptions{
		Heartbeat: 2 * time.Second, // a line that is dead is found out while somebody looks
		Retry:     300 * time.Millisecond,
		Drain:     -1, // there are a few browsers, and they may come back all at once
	}
	return &page{
		board: b, stock: stock, controls: c,
		customers: &customers{board: b, controls: c, stock: stock},
		streams:   [2]*uiupdate.Handler{uiupdate.NewHandler(stock, o), uiupdate.NewHandler(b.rows, o)},
	}
}

// close sends the customers home and ends the streams.
func (p *page) close() error {
	p.customers.open(false)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(p.streams[0].Shutdown(ctx), p.streams[1].Shutdown(ctx))
}

// handler serves the page. What it does not know goes to next.
func (p *page) handler(next http.Handler) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.Handle("/", next)
	files, err := fs.Sub(pageFiles, "page")
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, name)
		if name == "index.html" {
			mux.Handle("GET /{$}", asset(name, content))
		} else {
			mux.Handle("GET /page/"+name, asset(name, content))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	mux.Handle("GET /page/uiupdate.js", uiupdate.Script())
	mux.Handle("GET /page/events/stock", p.streams[0])
	mux.Handle("GET /page/events/board", p.streams[1])
	p.actions(mux)
	return mux, nil
}

// asset serves a file out of the program. The browser asks each time whether its copy is still the one, so that a new
// program never meets the old page.
func asset(name string, content []byte) http.Handler {
	sum := sha256.Sum256(content)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	kind := mime.TypeByExtension(path.Ext(name))
	switch path.Ext(name) { // as the standard says, whatever this machine's tables hold
	case ".js":
		kind = "text/javascript; charset=utf-8"
	case ".svg":
		kind = "image/svg+xml"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("ETag", tag)
		h.Set("Cache-Control", "no-cache")
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Write(content)
	})
}
