package main

import (
	"net"
	"os/exec"
	"strconv"
	"strings"

	"github.com/chromedp/chromedp/kb"
)

// knock tries ports of the server from the attacker, without waiting for an answer.
func (w *world) knock(ports ...int) {
	w.t.Helper()
	for _, p := range ports {
		must(w.t, syn(w.attacker, "", net.JoinHostPort(serverForAttacker, strconv.Itoa(p))))
	}
}

// events counts the events shown that have a text.
func events(text string) string {
	return `[...document.querySelectorAll(".event")].filter((e) => e.innerText.includes("` + text + `")).length`
}

func followEvents(w *world, b *tab, _ string) {
	w.knock(8080, 3389)
	b.until(events(attacker4+" → "+serverForAttacker+":8080") + " > 0")
	b.until(events(":3389") + " > 0 && " + events("dropped") + " > 1")
	b.until(events("generation 2") + " > 0") // its apply and its confirm

	b.click("[data-chip=rules]") // a chip shows only its own
	b.until(events("") + " > 0 && " + events("dropped") + " === 0 && " + events("confirmed") + " > 0")
	b.click("[data-chip=rules]")
	b.until(events("dropped") + " > 0")
	b.write("#find-events", "3389") // so does a text
	b.until(events("") + " === " + events(":3389") + " && " + events("") + " > 0")
	b.write("#find-events", "nothing has this")
	b.until(events("") + " === 0")
	b.write("#find-events", "")
	b.press(kb.Escape)

	b.press("p")
	b.until(`document.querySelector("#pause").getAttribute("aria-pressed") === "true"`)
	w.knock(8443)
	b.until(`/paused · [1-9]/.test(document.querySelector("#live-title ~ .note").innerText)`)
	if b.is(events(":8443") + " > 0") {
		b.t.Error("a paused list went on")
	}
	b.press("p")
	b.until(events(":8443") + " > 0")

	b.js(`[...document.querySelectorAll(".event summary")].find((e) => e.innerText.includes(":8443")).click()`)
	b.click("[data-add=port]") // the daemon sends only these, of before too
	b.shows("[data-only=port]", "8443")
	b.until(events(":8443") + " > 0 && " + events(":8080") + " === 0")
	b.click("[data-only=port]")
	b.until(events(":8080") + " > 0")
}

func unbanInBrowser(w *world, b *tab, _ string) {
	w.knock(7000, 7001, 7002, 7003, 7004, 7005, 7006, 7007, 7008)
	row := ".ban[data-target='" + attacker4 + "']"
	b.shows(row, "portscan")
	if _, banned := w.bans()[attacker4]; !banned {
		b.t.Errorf("the page shows a ban that there is not: %v", w.bans())
	}
	b.press("w")
	b.until(`document.activeElement.id === "why"`)
	b.write("#why", attacker4)
	b.press(kb.Enter)
	b.shows(".reason.bad", "By portscan")
	b.shows(".past", "banned")
	b.look("why", 1600, "light")
	b.js(`location.hash = "#/now"`)
	b.shows(row, "portscan")
	b.click(row + " [data-unban]")
	b.shows(".said", attacker4+" is not banned any more")
	b.until("!document.querySelector(\"" + row + "\")")
	if _, banned := w.bans()[attacker4]; banned {
		b.t.Error("it is banned still")
	}

	b.click("#add-ban")
	b.write("#ban-target", "192.0.2.99")
	b.write("#ban-why", "asked for in a browser")
	b.press(kb.Enter)
	b.shows(".ban[data-target='192.0.2.99']", "asked for in a browser")
	if why := w.bans()["192.0.2.99"].Why; why != "asked for in a browser" {
		b.t.Errorf("banned for %q", why)
	}
	b.click("#add-ban")
	b.write("#ban-target", serverForClient) // the host's own
	b.press(kb.Enter)
	b.shows(".said .bad", "Not done")
	b.click(".said .bad button")
}

func rollBackInBrowser(w *world, b *tab, _ string) {
	w.ok("apply", "--confirm", "10m", w.policy("web.lua", before))
	b.shows("#trial", "Generation 3 is on trial")
	b.click("[data-extend='900']")
	b.until(`/^2[45]:/.test(document.querySelector(".digits").innerText)`)
	b.click("#rollback")
	b.shows("#trial", "The trial of generation 3 is over, unconfirmed. Generation 2 filters again.")
	if s := w.status(); s.Trial != nil || s.Confirmed == nil || s.Confirmed.Number != 2 {
		b.t.Errorf("after the rollback: %+v", s)
	}
	w.ok("apply", "--confirm", "8s", w.policy("web.lua", before)) // one that the kernel ends, once the page has seen it
	b.shows("#trial", "Generation 4 is on trial")
	b.shows("#trial", "The trial of generation 4 is over, unconfirmed.")
}

// lookAround sees every view at both widths, in both colours.
func lookAround(w *world, b *tab, _ string) {
	for _, view := range []struct{ name, has string }{
		{"now", ".event"}, {"bans", ".ban"}, {"traffic", "[data-top=sources] li"}, {"rules", ".rule"}, {"policy", ".callback"},
	} {
		b.js(`location.hash = "#/` + view.name + `"`)
		b.until("document.querySelector('main " + view.has + "')")
		for _, width := range []int64{390, 1600} {
			for _, colours := range []string{"dark", "light"} {
				b.look(view.name, width, colours)
			}
		}
	}
	b.until(`[...document.querySelectorAll(".callback")].some((c) => c.innerText.includes("portscan"))`)
	if b.is("window.violated") {
		b.t.Error("the page did what its content policy forbids")
	}
	b.js(`location.hash = "#/traffic"`)
	for _, span := range []string{"24h", "7d", "1h"} {
		b.click("[data-span='" + span + "']")
		b.shows("[data-top=sources]", attacker4)
		b.shows("[data-top=policies]", "portscan")
		b.until("document.querySelector('.chart canvas')")
	}
	b.js(`location.hash = "#/rules"`)
	b.click("#never")
	b.until(`document.querySelectorAll(".rule").length === document.querySelectorAll(".rule.never").length`)
	b.js(`location.hash = "#/now"`)
}

// seeDrift: the page says at once that nothing is as it should be, and how a handler failed.
func seeDrift(w *world, b *tab, _ string) {
	b.shows("[data-fact=Drift]", "None")
	w.ok("apply", "--confirm", "10m", w.policy("web.lua", after+`fw.watchdog { drift = "report" }
fw.on(closed, function() error("on purpose") end)`))
	b.shows("#trial", "Generation 5 is on trial")
	w.ok("confirm")
	b.shows("#trial", "Generation 5 is confirmed")
	nft := exec.Command("nft", "insert rule inet moonlatch_5 input tcp dport 23 accept")
	must(b.t, w.server.Start(nft))
	must(b.t, nft.Wait())
	b.shows("#trial", "Somebody else has changed the rules")
	b.shows("[data-fact=Drift]", "Changed")
	b.look("drift", 390, "dark")
	w.knock(7777)
	b.js(`location.hash = "#/policy"`)
	b.shows(".fault", "on purpose")
	w.until("the error is on record", func() bool { return strings.Contains(w.ok("history", "--kind", "fault"), "on purpose") })
	b.js(`location.hash = "#/now"`)
}

// loseDaemon: the page says that it is alone, and finds the next daemon by itself.
func loseDaemon(w *world, b *tab, _ string) {
	w.kill()
	b.shows(".reach", "The daemon does not answer")
	w.start("--web", webAddress)
	b.until(`!document.querySelector(".reach")`)
	w.knock(9999)
	b.until(events(":9999") + " > 0")
	b.js(`location.hash = "#/policy"`)
	b.shows(".divider", "Before the daemon was started")
	b.shows(".divider + .faults", "on purpose")
	w.kill()
}
