package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/blocklist"
	"moonlatch/engine/ruleset"
)

// Feeds returns the lists of others that the policy uses, in its order. In the ruleset their sets are empty.
func (p *Policy) Feeds() []blocklist.Spec { return p.feeds }

// FillFeeds puts a list's content into each set of one, before the ruleset is applied. The ruleset's
// digest stays the same: what others publish is no change of the policy.
func (p *Policy) FillFeeds(content func(blocklist.Spec) *ruleset.Addresses) {
	for _, spec := range p.feeds {
		p.feedSet(spec.Name).Addrs = content(spec)
	}
}

// FeedAt is where the policy declares a feed of its own.
func (p *Policy) FeedAt(name string) ruleset.Pos { return p.feedSet(name).Pos }

func (p *Policy) feedSet(name string) *ruleset.Set {
	return p.set.Sets[slices.IndexFunc(p.set.Sets, func(s *ruleset.Set) bool { return s.Name == name })]
}

const feedForm = `fw.feed "drop" { url = "https://lists.example.org/drop.txt" }`

// newFeed is fw.feed.
func (l *loader) newFeed(L *lua.LState) int {
	s := &setObject{set: &ruleset.Set{Name: stringArg(L, 1, feedForm), Addrs: &ruleset.Addresses{}, Feed: true, Pos: l.here()}}
	noMore(L, 1, feedForm)
	l.set.Sets = append(l.set.Sets, s.set)
	l.unready, l.sets = append(l.unready, s), append(l.sets, s)
	L.Push(l.wrap(s))
	return 1
}

// configureFeed reads the table of a feed.
func (l *loader) configureFeed(s *setObject, t table) {
	spec := blocklist.Spec{
		Name: s.set.Name, Folder: l.env.Folder, Every: blocklist.DefaultEvery, Format: blocklist.Plain, Max: blocklist.DefaultMax, Shrink: blocklist.DefaultShrink,
	}
	before := l.count
	l.noItems(s.String(), t)
	fill(l, s.String(), t, feedOptions(), &spec)
	if l.count == before {
		if err := spec.Check(); err != nil {
			l.report(t.pos, "%s: %v", s, err)
		}
	}
	l.feeds = append(l.feeds, spec)
}

func feedOptions() []option[*blocklist.Spec] {
	const example = `fw.feed "drop" { url = "https://lists.example.org/drop.txt"`
	return []option[*blocklist.Spec]{
		{Entry{Name: "url", Takes: "https address", Doc: "where the list is fetched from", Example: feedForm},
			func(_ *loader, s *blocklist.Spec, v value) (err error) {
				s.URL, err = text(v)
				return err
			}},
		{Entry{Name: "file", Takes: "path of a file", Doc: "instead of url: a file that another program puts on this host, by its whole path or by its name in the policy's folder", Example: `fw.feed "drop" { file = "/var/lib/lists/drop.txt" }`},
			func(_ *loader, s *blocklist.Spec, v value) (err error) {
				s.File, err = text(v)
				if err == nil && !strings.HasPrefix(s.File, "/") && (!fs.ValidPath(s.File) || s.File == ".") {
					err = fmt.Errorf("%q is neither a whole path nor a name inside the policy's folder", s.File)
				}
				return err
			}},
		{Entry{Name: "every", Takes: "time", Doc: "how often it is fetched, at most every minute; default 1h", Example: example + `, every = "6h" }`},
			func(_ *loader, s *blocklist.Spec, v value) (err error) {
				if s.Every, err = duration(v.LValue); err == nil && s.Every < blocklist.MinEvery {
					err = fmt.Errorf("%s is too often: at most every %s", s.Every, blocklist.MinEvery)
				}
				return err
			}},
		{Entry{Name: "format", Takes: `"plain", "cidr" or "json"`, Doc: `how it is written: an address, prefix or range a line; prefixes only; an array, or a JSON value a line. Default "plain"`, Example: example + `, format = "cidr" }`},
			func(_ *loader, s *blocklist.Spec, v value) error {
				f, err := oneOf(v, string(blocklist.Plain), string(blocklist.CIDR), string(blocklist.JSON))
				s.Format = blocklist.Format(f)
				return err
			}},
		{Entry{Name: "max", Takes: "number", Doc: "the most entries; a longer list is refused. Default 131072", Example: example + `, max = 5000 }`},
			func(_ *loader, s *blocklist.Spec, v value) (err error) {
				s.Max, err = whole(v, 1, blocklist.MaxEntries)
				return err
			}},
		{Entry{Name: "sanity", Takes: `{ shrink = "50%" }`, Doc: `by how much the list may shrink at once; a list that shrinks more is refused, and so is an empty one. "100%" takes any. Default "50%"`, Example: example + `, sanity = { shrink = "20%" } }`},
			func(l *loader, s *blocklist.Spec, v value) error {
				t, ok := asTable(v)
				if !ok {
					return fmt.Errorf(`{ shrink = "50%%" } is expected, not %s`, describe(v.LValue))
				}
				fill(l, "sanity", t, sanityOptions(), s)
				return nil
			}},
		{Entry{Name: "http", Takes: "true", Doc: "lets the list come without encryption, where anybody on the way can change it", Example: `fw.feed "drop" { url = "http://lists.example.org/drop.txt", http = true }`},
			func(_ *loader, s *blocklist.Spec, v value) error {
				if v.LValue != lua.LTrue {
					return fmt.Errorf("true is expected, not %s", describe(v.LValue))
				}
				s.HTTP = true
				return nil
			}},
	}
}

func sanityOptions() []option[*blocklist.Spec] {
	return []option[*blocklist.Spec]{
		{Entry{Name: "shrink", Takes: "percentage"}, func(_ *loader, s *blocklist.Spec, v value) error {
			t, err := text(v)
			if err != nil {
				return err
			}
			digits, ok := strings.CutSuffix(t, "%")
			if s.Shrink, err = strconv.Atoi(digits); err != nil || !ok || s.Shrink < 0 || s.Shrink > 100 {
				return errors.New(`a percentage from "0%" to "100%" is expected, not ` + describe(v.LValue))
			}
			return nil
		}},
	}
}
