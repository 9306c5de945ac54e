package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moonlatch/engine/ban"
	"moonlatch/engine/banlist"
	"moonlatch/engine/control"
	"moonlatch/engine/ruleset"
)

// importFlags say what is to be read and what becomes of it.
type importFlags struct {
	format    string
	sets      []string
	length    duration // of bans that the list gives no end
	keepGoing bool
	allOrNone bool
	dryRun    bool
}

func (a *app) bansImportCommand() *cobra.Command {
	f := importFlags{length: duration(24 * time.Hour)}
	c := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Ban what a list says: Moonlatch's own, a plain one, or that of another program",
		Long: `Import bans every address and prefix of a list, each until the end that the list gives it.

The list is one that "moonlatch bans export" wrote, one address, prefix or range a line (#
and ; begin a comment), nft text such as "nft list set" prints, what "ipset save" or "cscli
decisions list -o json" print, or fail2ban's database (/var/lib/fail2ban/fail2ban.sqlite3).
Which one, is told by how it begins.

Every mistake in it is shown with its line. Then nothing is imported, unless with
--keep-going. Protected addresses, this host's own, and everybody (0.0.0.0/0) are never
banned. Where the kernel fails half-way, what was imported is taken back.`,
		Example: `  moonlatch bans import --dry-run /var/lib/fail2ban/fail2ban.sqlite3
  ipset save blacklist | moonlatch bans import --for 7d -`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.bansImport(c.Context(), args[0], f) },
	}
	flags := c.Flags()
	flags.StringVar(&f.format, "format", "auto", "`format` of the list: auto, "+formats(banlist.Formats()))
	flags.StringSliceVar(&f.sets, "set", nil, "import only the set of this `name`, of nft or ipset text; can be given several times")
	flags.Var(&f.length, "for", "how long to ban what the list gives no end")
	flags.BoolVar(&f.keepGoing, "keep-going", false, "import what can be, past mistakes")
	flags.BoolVar(&f.allOrNone, "all-or-nothing", false, "import nothing if there is a mistake (the default)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only tell what would be imported")
	c.MarkFlagsMutuallyExclusive("keep-going", "all-or-nothing")
	c.RegisterFlagCompletionFunc("format", completeWords(append([]banlist.Format{"auto"}, banlist.Formats()...)))
	return c
}

// formats are their names, for people.
func formats(all []banlist.Format) string {
	words := make([]string, len(all))
	for i, f := range all {
		words[i] = string(f)
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// completeWords offers some words.
func completeWords[S ~string](words []S) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		out := make([]cobra.Completion, len(words))
		for i, w := range words {
			out[i] = string(w)
		}
		return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// parseFormat reads a format's name.
func parseFormat(name string, known []banlist.Format) (banlist.Format, error) {
	var names []string
	for _, f := range known {
		if string(f) == name {
			return f, nil
		}
		names = append(names, string(f))
	}
	return "", usageError{fmt.Errorf("the format %q is not known: it is %s%s", name, formats(known), ruleset.Suggest(name, names)), "moonlatch bans"}
}

// importDocument is what is printed of an import.
type importDocument struct {
	control.ImportResult
	Entries  int                  `json:"entries"`
	Mistakes []control.RefusedBan `json:"mistakes"`
	LeftOut  []control.RefusedBan `json:"left_out"`
	DryRun   bool                 `json:"dry_run"`
}

func (a *app) bansImport(ctx context.Context, path string, f importFlags) error {
	list, closeList, err := openList(ctx, path, f.format)
	if err != nil {
		return err
	}
	defer closeList()
	show := a.newProgress()
	doc := importDocument{DryRun: f.dryRun, Mistakes: []control.RefusedBan{}, LeftOut: []control.RefusedBan{}}
	bans, err := f.collect(list, &doc, func(n int) { show.show("read", n, 0) })
	if err != nil {
		show.end()
		return fmt.Errorf("%s: %w; nothing was imported", path, err)
	}
	s, err := a.service(ctx)
	if err != nil {
		show.end()
		return err
	}
	doc.Entries = len(bans)
	stopped := len(doc.Mistakes) > 0 && !f.keepGoing
	doc.ImportResult, err = s.Import(ctx, control.ImportRequest{
		Bans: slices.Values(bans), KeepGoing: f.keepGoing, DryRun: f.dryRun || stopped, From: path, By: caller(),
		Progress: func(done int) { show.show("imported", done, len(bans)) },
	})
	show.end()
	if err != nil {
		return err
	}
	doc.Mistakes = append(doc.Mistakes, doc.Refused...)
	slices.SortStableFunc(doc.Mistakes, func(x, y control.RefusedBan) int { return x.Line - y.Line })
	a.showMistakes(path, doc.Mistakes)
	if len(doc.Mistakes) > 0 && !f.keepGoing && !f.dryRun {
		if a.output == "json" {
			err = a.print(doc, nil)
		}
		return errors.Join(err, fmt.Errorf("%s has %s: nothing was imported. Mend the list, or import the other %s with --keep-going",
			path, count(len(doc.Mistakes), "mistake"), entries(len(bans)-len(doc.Refused))))
	}
	return a.print(doc, func(w *writer) { w.imported(doc) })
}

// showMistakes tells where a list is wrong; a document has it all by itself.
func (a *app) showMistakes(path string, mistakes []control.RefusedBan) {
	if a.output == "json" {
		return
	}
	for _, m := range mistakes {
		fmt.Fprintf(a.err, "%s:%d: %s\n", path, m.Line, m.Why)
	}
}

func (w *writer) imported(doc importDocument) {
	switch {
	case doc.DryRun:
		w.linef("%s could be imported, nothing was", entries(doc.Entries-len(doc.Refused)))
	default:
		w.linef("%s imported in %s", count(doc.Booked, "ban"), doc.Took.Round(time.Millisecond))
	}
	if doc.Duplicates > 0 {
		w.linef("%s banned for as long already", entries(doc.Duplicates))
	}
	for i, o := range doc.LeftOut {
		if i == 10 {
			w.linef("%s more left out", entries(len(doc.LeftOut)-i))
			break
		}
		w.linef("line %d left out: %s", o.Line, o.Why)
	}
	if len(doc.Mistakes) > 0 {
		w.linef("%s passed over", count(len(doc.Mistakes), "mistake"))
	}
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

// collect reads the whole list: nothing is banned before all of it is known.
func (f importFlags) collect(list iter.Seq2[banlist.Entry, error], doc *importDocument, progress func(int)) ([]control.ListedBan, error) {
	var out []control.ListedBan
	seen := map[string]bool{}
	wanted := func(set string) bool {
		if set != "" {
			seen[set] = true
		}
		return len(f.sets) == 0 || slices.Contains(f.sets, set)
	}
	now := time.Now()
	for e, err := range list {
		var bad *banlist.Mistake
		var omitted *banlist.Omission
		switch {
		case errors.As(err, &bad):
			if wanted(bad.Set) {
				doc.Mistakes = append(doc.Mistakes, control.RefusedBan{Line: bad.Line, Why: bad.Err.Error()})
			}
		case errors.As(err, &omitted):
			if wanted(omitted.Set) {
				doc.LeftOut = append(doc.LeftOut, control.RefusedBan{Line: omitted.Line, Why: omitted.Why})
			}
		case err != nil:
			return nil, err
		case wanted(e.Set):
			if out = append(out, f.ban(e, now)); len(out)%10000 == 0 {
				progress(len(out))
			}
		}
	}
	return out, f.checkSets(seen)
}

// checkSets refuses to mix sets: one of them may well be a list of friends.
func (f importFlags) checkSets(seen map[string]bool) error {
	var names []string
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, want := range f.sets {
		if !seen[want] {
			return fmt.Errorf("it has no set %q%s", want, ruleset.Suggest(want, names))
		}
	}
	ours := !slices.ContainsFunc(names, func(name string) bool { return !strings.HasPrefix(name, "banned") })
	if len(f.sets) == 0 && len(names) > 1 && !ours {
		return fmt.Errorf("it has several sets (%s), which may be of friends too: say with --set which to import", strings.Join(names, ", "))
	}
	return nil
}

// ban is what an entry asks for.
func (f importFlags) ban(e banlist.Entry, now time.Time) control.ListedBan {
	b := control.ListedBan{Line: e.Line, Ban: control.Ban{
		Target: e.Target.String(), Since: e.Since, Until: e.Until, By: e.By, Why: e.Why, Origin: string(e.Origin),
	}}
	if e.Target.IsSingleIP() {
		b.Target = e.Target.Addr().String()
	}
	switch {
	case e.Endless:
		b.Until = now.Add(ban.MaxTime)
	case e.Until.IsZero():
		b.Since, b.Until = time.Time{}, now.Add(time.Duration(f.length))
	}
	if b.By == "" {
		b.By = "import"
	}
	if b.Origin == "" {
		b.Origin = string(ban.Manual)
	}
	return b
}

// openList opens a list and finds out what it is.
func openList(ctx context.Context, path, name string) (iter.Seq2[banlist.Entry, error], func() error, error) {
	in := os.Stdin
	if path != "-" {
		var err error
		if in, err = os.Open(path); err != nil {
			return nil, nil, err
		}
	}
	r := bufio.NewReaderSize(in, 1<<16)
	var format banlist.Format
	var err error
	if name == "auto" {
		peeked, _ := r.Peek(4096) // what ends before is short
		if format, err = banlist.Detect(peeked); err != nil {
			err = fmt.Errorf("%s: %w; nothing was imported", path, err)
		}
	} else {
		format, err = parseFormat(name, banlist.Formats())
	}
	switch {
	case err != nil:
		return nil, nil, errors.Join(err, in.Close())
	case format != banlist.Fail2ban:
		return banlist.Read(format, r, time.Now()), in.Close, nil
	case path == "-":
		return spooled(ctx, r)
	}
	return banlist.ReadFail2ban(ctx, path, time.Now()), in.Close, nil
}

// spooled is a database that comes through a pipe.
func spooled(ctx context.Context, r io.Reader) (iter.Seq2[banlist.Entry, error], func() error, error) {
	f, err := os.CreateTemp("", "moonlatch-import")
	if err != nil {
		return nil, nil, err
	}
	remove := func() error { return os.Remove(f.Name()) }
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	return banlist.ReadFail2ban(ctx, f.Name(), time.Now()), remove, nil
}
