package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"moonlatch/engine/banlist"
	"moonlatch/engine/control"
)

func (a *app) banCommand() *cobra.Command {
	length := duration(time.Hour)
	var why string
	var kill, split bool
	c := &cobra.Command{
		Use:   "ban ADDRESS|PREFIX",
		Short: "Drop everything from an address or a prefix for a time",
		Long: `Ban drops every packet from an address or a prefix, whatever the rules say, for an hour or as long
as --for says. The kernel ends the ban, with or without a daemon. What is protected is not banned.`,
		Example: `  moonlatch ban 203.0.113.9 --for 2h --why "tried every door"
  moonlatch ban 2001:db8:bad::/48 --for 7d --kill`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := a.service(c.Context())
			if err != nil {
				return err
			}
			b, err := s.Ban(c.Context(), control.BanRequest{Target: args[0], For: time.Duration(length), Why: why, Kill: kill, Split: split})
			if err != nil {
				return err
			}
			doc := struct {
				APIVersion string `json:"apiVersion"`
				control.Ban
			}{control.Version, b}
			return a.print(doc, func(w *writer) {
				w.linef("%s is banned until %s", b.Target, b.Until.Local().Format(time.DateTime))
				if len(b.But) > 0 {
					w.linef("but for %s, in %s: moonlatch unban %s lifts them", listed(b.But), count(len(b.Parts), "part"), b.Target)
				}
				if kill {
					w.linef("%s ended", count(b.Killed, "connection"))
				}
			})
		},
	}
	c.Flags().Var(&length, "for", "how long")
	c.Flags().StringVar(&why, "why", "", "reason, shown by moonlatch bans")
	c.Flags().BoolVar(&split, "split", false, "of a prefix that holds protected addresses, ban the rest, in parts")
	c.Flags().BoolVar(&kill, "kill", false, "also end the connections that are established with it, this host's and forwarded ones")
	return c
}

func (a *app) unbanCommand() *cobra.Command {
	var all bool
	var by string
	c := &cobra.Command{
		Use:   "unban ADDRESS|PREFIX",
		Short: "Lift a ban, those within a prefix, those of a detector, or all",
		Long: `Unban ends bans at once: of an address; of a prefix, with those of what lies in it; or those that
--by or --all means. To keep somebody from being banned again, use "moonlatch protect add".`,
		Example: `  moonlatch unban 203.0.113.9
  moonlatch unban --by portscan`,
		Args: func(c *cobra.Command, args []string) error {
			if all || by != "" {
				return cobra.NoArgs(c, args)
			}
			return cobra.ExactArgs(1)(c, args)
		},
		ValidArgsFunction: a.completeBanned,
		RunE: func(c *cobra.Command, args []string) error {
			s, err := a.service(c.Context())
			if err != nil {
				return err
			}
			r, err := s.Unban(c.Context(), control.UnbanRequest{Target: strings.Join(args, ""), By: by, All: all})
			if err != nil {
				return err
			}
			return a.print(r, func(w *writer) { w.linef("%s lifted", count(r.Lifted, "ban")) })
		},
	}
	c.Flags().BoolVar(&all, "all", false, "lift every ban")
	c.Flags().StringVar(&by, "by", "", "lift every ban by this `name`: of a detector, a handler, manual, as moonlatch bans shows it")
	c.MarkFlagsMutuallyExclusive("all", "by")
	return c
}

// What completion asks of the daemon, and how long it waits.
const (
	mostCompleted  = 200
	completionTime = time.Second
)

// completeBanned offers what is banned, as far as a running daemon knows.
func (a *app) completeBanned(c *cobra.Command, args []string, start string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), completionTime)
	defer cancel()
	client, err := control.Dial(ctx, a.socket)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	targets, _ := client.BannedLike(ctx, control.LikeRequest{Prefix: start, Limit: mostCompleted})
	return targets, cobra.ShellCompDirectiveNoFileComp
}

// banFilterFlags select bans.
type banFilterFlags struct {
	by, why, within, origin         string
	older, younger, longer, shorter duration
	sort                            string
	limit                           int
}

func (f *banFilterFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.by, "by", "", "only bans by this `name`: of a detector, a handler, manual")
	flags.StringVar(&f.why, "why", "", "only bans whose reason has this `text` in it")
	flags.StringVar(&f.within, "in", "", "only bans of what lies in this `prefix`, or of what an address lies in")
	flags.StringVar(&f.origin, "origin", "", "only bans of this `origin`: local (policies) or manual (people)")
	flags.Var(&f.older, "older", "only bans that began longer ago than this")
	flags.Var(&f.younger, "younger", "only bans that began less than this ago")
	flags.Var(&f.longer, "left-over", "only bans with more time left than this")
	flags.Var(&f.shorter, "left-under", "only bans with less time left than this")
	c.RegisterFlagCompletionFunc("origin", completeWords([]string{"local", "manual"}))
}

func (f *banFilterFlags) request() control.BanFilter {
	return control.BanFilter{
		By: f.by, Why: f.why, Within: f.within, Origin: f.origin,
		Older: time.Duration(f.older), Younger: time.Duration(f.younger), Longer: time.Duration(f.longer), Shorter: time.Duration(f.shorter),
		Sort: f.sort, Limit: f.limit,
	}
}

func (a *app) bansCommand() *cobra.Command {
	var filter banFilterFlags
	c := &cobra.Command{
		Use:   "bans",
		Short: "List the bans in force; export and import them",
		Long:  "Bans lists who is banned, for how much longer, by whom and why, those that end first at the top.",
		Example: `  moonlatch bans --by portscan --sort -age --limit 20
  moonlatch bans --in 203.0.113.0/24 -o csv`,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.service(c.Context())
			if err != nil {
				return err
			}
			found, err := s.FindBans(c.Context(), filter.request())
			if err != nil {
				return err
			}
			if a.output == outputCSV {
				return banlist.Write(banlist.CSV, a.out, exported(found.Bans), time.Now())
			}
			return a.print(found, func(w *writer) { w.bans(found, a.width()) })
		},
		Annotations: map[string]string{moreOutputs: outputCSV + " " + outputTable},
	}
	filter.add(c)
	c.Flags().StringVar(&filter.sort, "sort", "left", "sort by "+strings.Join(control.BanOrders(), ", ")+"; a - before it sorts the other way round")
	c.Flags().IntVar(&filter.limit, "limit", 0, "show at most so many")
	c.RegisterFlagCompletionFunc("sort", completeWords(control.BanOrders()))
	c.AddCommand(a.bansExportCommand(), a.bansImportCommand())
	return c
}

// width is that of the terminal, or 0 where there is none.
func (a *app) width() int {
	f, ok := a.out.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

func (w *writer) bans(found control.FoundBans, width int) {
	if found.Matching == 0 {
		w.linef("nobody is banned")
		return
	}
	now := time.Now()
	rows := [][]string{{"ADDRESS", "LEFT", "BY", "WHY"}}
	for _, b := range found.Bans {
		left := "for ever"
		if !b.Until.IsZero() {
			left = span(b.Until.Sub(now))
		}
		rows = append(rows, []string{b.Target, left, b.By, b.Why})
	}
	for _, line := range columns(rows, width) {
		w.linef("%s", line)
	}
	if more := found.Matching - len(found.Bans); more > 0 {
		w.linef("and %d more: --limit %d shows them", more, found.Matching)
	}
}

// leastShown is how much of its last column a table must show: a terminal without the room wraps the lines.
const leastShown = 8

// columns aligns the cells of rows; where a line would be wider than that, the last cell is cut. Width 0 is any.
func columns(rows [][]string, width int) []string {
	var widths []int
	for _, r := range rows {
		for i, cell := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	before := 0
	for _, n := range widths[:len(widths)-1] {
		before += n + 2
	}
	if width < before+leastShown {
		width = 0
	}
	out := make([]string, len(rows))
	for i, r := range rows {
		var line strings.Builder
		for j, cell := range r {
			if j == len(r)-1 {
				line.WriteString(cell)
				break
			}
			fmt.Fprintf(&line, "%s%s  ", cell, strings.Repeat(" ", widths[j]-utf8.RuneCountInString(cell)))
		}
		out[i] = cut(strings.TrimRight(line.String(), " "), width)
	}
	return out
}

// cut makes a line fit.
func cut(line string, width int) string {
	if width < 2 || utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:width-1]) + "…"
}
