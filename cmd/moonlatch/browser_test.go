package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// unhurried is for what a browser on a busy machine may take; on an idle one it takes milliseconds.
const unhurried = time.Minute

// tab is a browser's tab with the page in it.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string

	mu       sync.Mutex
	mistakes []string // exceptions of the page's code
}

// browse opens the world's page in a browser, as from another machine through ssh -L.
func (w *world) browse() *tab {
	w.t.Helper()
	b := &tab{t: w.t, url: "http://" + w.forward(webAddress)}
	ctx, cancel := context.WithTimeout(context.Background(), 4*unhurried)
	w.t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.UserDataDir(w.t.TempDir()))
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	w.t.Cleanup(cancel)
	b.ctx, cancel = chromedp.NewContext(ctx)
	w.t.Cleanup(cancel)
	if err := chromedp.Do(b.ctx, chromedp.EmulateViewport(1600, 1000)); err != nil {
		w.t.Fatalf("a browser does not start: %v; the package chromium has one", err)
	}
	thrown := chromedp.Events(b.ctx, runtime.ExceptionThrown)
	go func() {
		for e, err := range thrown {
			if err == nil {
				b.mu.Lock()
				b.mistakes = append(b.mistakes, fmt.Sprintf("%s %s:%d %s", e.ExceptionDetails.Text, e.ExceptionDetails.URL, e.ExceptionDetails.LineNumber, e.ExceptionDetails.Exception.Description))
				b.mu.Unlock()
			}
		}
	}()
	b.do(chromedp.Navigate(b.url))
	b.js(`addEventListener("securitypolicyviolation", (e) => (window.violated = (window.violated ?? "") + e.violatedDirective + " " + e.blockedURI + " "))`)
	return b
}

// forward passes connections to a port here on to an address on the server.
func (w *world) forward(addr string) string {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(w.t, err)
	w.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			var far net.Conn
			if w.server.Do(func() (err error) { far, err = net.Dial("tcp", addr); return err }) != nil {
				near.Close()
				continue
			}
			for _, c := range [][2]net.Conn{{near, far}, {far, near}} {
				go func() {
					io.Copy(c[0], c[1])
					near.Close()
					far.Close()
				}()
			}
		}
	}()
	return l.Addr().String()
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// js runs code whose value nobody wants.
func (b *tab) js(code string) { b.t.Helper(); b.is("(" + code + ", true)") }

// is reports whether an expression is true in the page.
func (b *tab) is(expression string) bool {
	b.t.Helper()
	is, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return is
}

// until waits until an expression is true in the page.
func (b *tab) until(expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(unhurried); !b.is(expression); time.Sleep(30 * time.Millisecond) {
		if time.Now().After(deadline) {
			text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
			b.t.Fatalf("still waiting for %s; the page:\n%s", expression, text)
		}
	}
}

// shows waits until a text stands in the element.
func (b *tab) shows(selector, text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("document.querySelector(%q)?.innerText.includes(%q)", selector, text))
}

func (b *tab) click(selector string) { b.t.Helper(); b.do(chromedp.Click(chromedp.CSS(selector))) }

func (b *tab) press(keys string) { b.t.Helper(); b.do(chromedp.KeyEvent(keys)) }

// write puts a text into a field, in place of what was there.
func (b *tab) write(selector, text string) {
	b.t.Helper()
	b.js(fmt.Sprintf("document.querySelector(%q).select()", selector))
	b.press(kb.Backspace)
	if text != "" {
		b.do(chromedp.SendKeys(chromedp.CSS(selector), text))
	}
}

// look makes the window so wide, in light or dark, and says so when something stands out of it. With
// MOONLATCH_SCREENSHOTS it leaves a picture in that folder.
func (b *tab) look(name string, width int64, colours string) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, 1000))
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: colours}},
	})
	must(b.t, err)
	if b.is("document.documentElement.scrollWidth > innerWidth") {
		b.t.Errorf("%s at %d px, %s: it is wider than the window", name, width, colours)
	}
	if pale, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](paleText)); err != nil || pale != "" {
		b.t.Errorf("%s at %d px, %s: text that is hard to read: %s %v", name, width, colours, pale, err)
	}
	if dir := os.Getenv("MOONLATCH_SCREENSHOTS"); dir != "" {
		time.Sleep(300 * time.Millisecond) // for what fades in
		png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		must(b.t, err)
		must(b.t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, width, colours)), png, 0o644))
	}
}

// paleText lists texts whose contrast is less than the 4.5 (3 where they are large) that WCAG 2 asks for.
const paleText = `(() => {
	const parts = (c) => { // of rgb(), rgba() and color(srgb)
		const n = c.match(/[\d.]+/g).map(Number), scale = c.startsWith("color") ? 255 : 1;
		return [...n.slice(0, 3).map((x) => x * scale), n[3] ?? 1];
	};
	const over = (top, under) => top.slice(0, 3).map((x, i) => x * top[3] + under[i] * (1 - top[3])).concat(1);
	const light = (c) => c.slice(0, 3).map((x) => (x /= 255) <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4).reduce((n, x, i) => n + x * [0.2126, 0.7152, 0.0722][i], 0);
	const under = (e) => {
		const own = parts(getComputedStyle(e).backgroundColor);
		return own[3] === 1 || !e.parentElement ? over(own, [255, 255, 255, 1]) : over(own, under(e.parentElement));
	};
	const pale = new Set();
	for (const e of document.querySelectorAll("body *")) {
		const text = [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join("");
		const box = e.getBoundingClientRect(), style = getComputedStyle(e);
		if (!text || box.width < 2 || e.closest("svg, .hidden, noscript")) continue;
		const back = under(e), a = light(back), b = light(over(parts(style.color), back));
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), size = parseFloat(style.fontSize);
		if (ratio < (size >= 24 || size >= 18.7 && style.fontWeight >= 700 ? 3 : 4.5)) pale.add(text.slice(0, 40) + " " + ratio.toFixed(2));
	}
	return [...pale].join("; ");
})()`

// TestBrowser uses the page as its user does: a real browser, a real daemon, real packets.
func TestBrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("--web", webAddress)
	w.ok("apply", w.policy("web.lua", before))
	w.ok("confirm")
	w.ok("apply", "--confirm", "10m", w.policy("web.lua", after))
	token := strings.TrimSpace(w.ok("web", "token"))
	b := w.browse()
	for _, step := range []struct {
		name string
		run  func(*world, *tab, string)
	}{
		{"trial", seeTrial}, {"wrong token", showWrongToken}, {"keyboard", useKeyboard}, {"confirm", confirmInBrowser},
		{"live", followEvents}, {"unban", unbanInBrowser}, {"roll back", rollBackInBrowser}, {"looks", lookAround}, {"amiss", seeDrift}, {"gone", loseDaemon},
	} {
		ok := t.Run(step.name, func(t *testing.T) {
			inner, tab := *w, &tab{t: t, ctx: b.ctx, url: b.url}
			inner.t = t
			step.run(&inner, tab, token)
			w.daemon = inner.daemon
		})
		if !ok {
			break // the next step begins where this one ends
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mistakes) > 0 {
		t.Errorf("the page's code failed:\n%s", strings.Join(b.mistakes, "\n"))
	}
}

func seeTrial(w *world, b *tab, _ string) {
	b.shows("#trial", "Generation 2 is on trial")
	b.shows("#trial", "generation 1 (web.lua) filters again")
	b.shows(".changes", "against generation 1")
	b.until(`[...document.querySelectorAll(".change.added")].some((c) => c.textContent.includes("rule web"))`)
	b.until(`[...document.querySelectorAll(".change.removed")].some((c) => c.innerText.includes("tcp dport 22"))`)
	b.until(`/^9:\d\d$|^10:00$/.test(document.querySelector(".digits").innerText)`)
	b.look("trial", 390, "dark")
	b.look("trial", 1600, "light")
	b.click("[data-extend='60']") // asks for the token, like everything that changes anything
	b.shows("dialog", "sudo moonlatch web token")
	b.press(kb.Escape)
	b.until(`!document.querySelector("dialog")`)
}

func showWrongToken(w *world, b *tab, token string) {
	b.click("#confirm")
	b.shows("dialog", "sudo moonlatch web token")
	b.write("#token", token[:20])
	b.press(kb.Enter)
	b.shows("dialog .wrong", "this is not the token")
	b.until(`document.querySelector("#token").value === ""`)
	if s := w.status(); s.Trial == nil || s.Trial.Number != 2 {
		b.t.Errorf("after a wrong token: %+v", s)
	}
	b.press(kb.Escape)
	b.until(`!document.querySelector("dialog")`)
}

func useKeyboard(w *world, b *tab, _ string) {
	b.js(`document.activeElement.blur()`)
	b.press("?")
	b.shows("dialog", "No key changes the firewall by itself")
	b.press("4") // of no effect behind a dialog
	b.press(kb.Escape)
	b.until(`!document.querySelector("dialog")`)
	b.until(`location.hash !== "#/rules"`)
	for key, title := range map[string]string{"4": "Rules", "5": "Detectors, handlers, timers", "2": "Bans", "1": "Live"} {
		b.press(key)
		b.shows("main h2", title)
	}
	b.press("1")
	b.shows("main h2", "Live")
	b.press("/")
	b.until(`document.activeElement.id === "find-events"`)
	b.press("c") // is written there
	b.until(`document.activeElement.value.endsWith("c")`)
	b.write("#find-events", "")
	b.press(kb.Escape)
	b.press("d")
	b.until(`document.documentElement.dataset.theme`)
	b.js(`delete document.documentElement.dataset.theme`)
	b.js(`localStorage.clear()`)
	b.press("c")
	b.until(`document.activeElement.id === "confirm"`)
	if s := w.status(); s.Trial == nil {
		b.t.Errorf("a key has ended the trial: %+v", s)
	}
}

// confirmInBrowser goes on where useKeyboard ends: the button has the focus.
func confirmInBrowser(w *world, b *tab, token string) {
	b.press(kb.Enter)
	b.shows("dialog", "sudo moonlatch web token")
	b.write("#token", token)
	b.click("#show-token")
	b.shows("#trial", "Generation 2 is confirmed")
	b.shows(".bar", "confirmed")
	if s := w.status(); s.Trial != nil || s.Confirmed == nil || s.Confirmed.Number != 2 {
		b.t.Errorf("after the confirm: %+v", s)
	}
	b.click("#trial button")
	b.shows("#trial", "No trial. Nothing is at risk.")
}
