package store

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// The table banpages holds the bans as the leaves of a tree do: a row's bans are those whose keys are not less than its
// first, and less than the next row's. The first row's first is empty, and that row is always there.

const (
	sqlPage = `SELECT id, bans, (SELECT min(first) FROM banpages AS next WHERE next.first > page.first)
		FROM banpages AS page WHERE first <= ? ORDER BY first DESC LIMIT 1`
	sqlPageAdd     = `INSERT INTO banpages (first, ends, bans) VALUES (?, ?, ?)`
	sqlPageUpdate  = `UPDATE banpages SET ends = ?, bans = ? WHERE id = ?`
	sqlPageDelete  = `DELETE FROM banpages WHERE id = ?`
	sqlPagesEnded  = `SELECT id, bans FROM banpages WHERE ends < ? LIMIT ?`
	sqlPageEndless = `UPDATE banpages SET ends = NULL WHERE id = ?`
	sqlNoPages     = `DELETE FROM banpages WHERE first > x''`
	sqlNoBans      = `UPDATE banpages SET ends = NULL, bans = x''`
)

// page is a row of banpages.
type page struct {
	id    int64
	after []byte // the next row's first, nil if there is none
	bans  []Ban
}

// findPage finds the page whose bans are those around a target. Of one in which something cannot be, it returns the rest, too.
func findPage(ctx context.Context, stmt *sql.Stmt, target netip.Prefix) (p page, err error) {
	return findPageAt(ctx, stmt, appendKey(nil, target))
}

func findPageAt(ctx context.Context, stmt *sql.Stmt, key []byte) (p page, err error) {
	var bans []byte
	err = stmt.QueryRowContext(ctx, key).Scan(&p.id, &bans, &p.after)
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("the database %w: no page for the bans from %x on", errForeign, key)
	}
	if err == nil {
		p.bans, err = bansOf(bans)
	}
	return p, err
}

// bansOf returns what a page holds, also before something that cannot be.
func bansOf(page []byte) (bans []Ban, err error) {
	var r pageReader
	r.start(page)
	for b := (Ban{}); r.next(&b); {
		bans = append(bans, b)
	}
	return bans, r.err()
}

// holds reports whether a target that is not before the page is in it.
func (p *page) holds(target netip.Prefix) bool {
	var key [17]byte
	return p.after == nil || bytes.Compare(appendKey(key[:0], target), p.after) < 0
}

// banChanges are what becomes of bans in a transaction, written at its end, page by page.
type banChanges struct {
	none bool // that was before is left
	of   map[netip.Prefix]banChange
}

// banChange is the ban that a target has, or that it has none.
type banChange struct {
	ban  Ban
	gone bool
}

func (c *banChanges) reset() {
	c.none = false
	clear(c.of)
}

func (c *banChanges) put(target netip.Prefix, change banChange) {
	target, ok := banTarget(target)
	if !ok {
		return
	}
	if c.of == nil {
		c.of = make(map[netip.Prefix]banChange)
	}
	change.ban.Target = target
	c.of[target] = change
}

func (c *banChanges) forgetAll() {
	c.reset()
	c.none = true
}

// writeBans writes the changes of the transaction so far.
func (s *session) writeBans(ctx context.Context) error {
	if s.bans.none {
		for _, query := range []string{sqlNoPages, sqlNoBans} {
			if err := s.exec(ctx, query); err != nil {
				return err
			}
		}
	}
	changes := slices.SortedFunc(maps.Values(s.bans.of), func(x, y banChange) int { return compareTargets(x.ban.Target, y.ban.Target) })
	for len(changes) > 0 {
		n, err := s.writeBansAt(ctx, changes)
		if err != nil {
			return err
		}
		changes = changes[n:]
	}
	s.bans.reset()
	return nil
}

// writeBansAt writes the changes in the page of the first of them, and returns how many these are.
func (s *session) writeBansAt(ctx context.Context, changes []banChange) (n int, err error) {
	stmt, err := s.prepared(ctx, sqlPage)
	if err != nil {
		return 0, err
	}
	p, err := findPage(ctx, stmt, changes[0].ban.Target)
	if err = s.odd.heal(err); err != nil {
		return 0, err
	}
	n = p.take(changes)
	pages := paginate(p.bans)
	for len(pages) == 1 && len(pages[0].bans) < pageLeast && p.after != nil {
		next, err := findPageAt(ctx, stmt, p.after)
		if err = s.odd.heal(err); err != nil {
			return n, err
		}
		if err := s.exec(ctx, sqlPageDelete, next.id); err != nil {
			return n, err
		}
		p.after = next.after
		n += next.take(changes[n:])
		p.bans = append(p.bans, next.bans...)
		pages = paginate(p.bans)
	}
	for i, to := range pages {
		if i == 0 {
			err = s.exec(ctx, sqlPageUpdate, to.ends, to.bans, p.id)
		} else {
			err = s.exec(ctx, sqlPageAdd, to.first, to.ends, to.bans)
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// take makes those of the changes that are the page's, and returns how many.
func (p *page) take(changes []banChange) (n int) {
	merged := make([]Ban, 0, len(p.bans)+len(changes))
	old := p.bans
	for ; n < len(changes) && p.holds(changes[n].ban.Target); n++ {
		c := &changes[n]
		for len(old) > 0 && compareTargets(old[0].Target, c.ban.Target) < 0 {
			merged, old = append(merged, old[0]), old[1:]
		}
		if len(old) > 0 && old[0].Target == c.ban.Target {
			old = old[1:]
		}
		if !c.gone {
			merged = append(merged, c.ban)
		}
	}
	p.bans = append(merged, old...)
	return n
}

// pageText is a page to be written.
type pageText struct {
	first, bans []byte
	ends        driver.Value
}

// paginate makes pages of bans, at least one.
func paginate(bans []Ban) []pageText {
	var w pageWriter
	w.reset()
	for i := range bans {
		w.add(&bans[i])
	}
	if len(w.b) <= pageLimit {
		return []pageText{w.text(bans)}
	}
	parts := (len(w.b) + pageFill - 1) / pageFill
	size := len(w.b) / parts
	var out []pageText
	w.reset()
	first := 0
	for i := range bans {
		if i > first && (len(w.b) >= size || len(w.b)+bans[i].mostBytes() > pageLimit) {
			out = append(out, w.text(bans[first:]))
			first = i
			w.reset()
		}
		w.add(&bans[i])
	}
	return append(out, w.text(bans[first:]))
}

// text is the page that was written, of which the first of the bans is the first.
func (w *pageWriter) text(bans []Ban) pageText {
	p := pageText{bans: bytes.Clone(w.b)}
	if len(w.b) == 0 {
		p.bans = []byte{} // not NULL
	} else {
		p.first = appendKey(nil, bans[0].Target)
	}
	if w.ends != endless {
		p.ends = w.ends
	}
	return p
}
