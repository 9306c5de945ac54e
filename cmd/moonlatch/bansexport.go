package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moonlatch/engine/ban"
	"moonlatch/engine/banlist"
	"moonlatch/engine/control"
)

func (a *app) bansExportCommand() *cobra.Command {
	var format string
	var filter banFilterFlags
	c := &cobra.Command{
		Use:   "export [FILE]",
		Short: "Write the bans in force to a file, for another host or for later",
		Long: `Export writes the bans in force, to standard output without FILE. JSON and CSV keep all of
them, and "moonlatch bans import" reads them back. A plain list has one address or prefix a
line, with who banned it and why behind a #. nft text is a table of its own that drops the
same on a host without Moonlatch: nft -f FILE.`,
		Example: `  moonlatch bans export bans.json
  moonlatch bans export --format nft --by portscan bans.nft`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := parseFormat(format, banlist.Written())
			if err != nil {
				return err
			}
			s, err := a.service(c.Context())
			if err != nil {
				return err
			}
			filter.sort = "address"
			found, err := s.FindBans(c.Context(), filter.request())
			if err != nil {
				return err
			}
			write := func(w io.Writer) error { return banlist.Write(f, w, exported(found.Bans), time.Now()) }
			if len(args) == 0 || args[0] == "-" {
				return write(a.out)
			}
			if err := replaceFile(args[0], write); err != nil {
				return fmt.Errorf("export: %w", err)
			}
			doc := struct {
				APIVersion string `json:"apiVersion"`
				File       string `json:"file"`
				Bans       int    `json:"bans"`
			}{control.Version, args[0], len(found.Bans)}
			return a.print(doc, func(w *writer) { w.linef("%s written to %s", count(len(found.Bans), "ban"), args[0]) })
		},
	}
	c.Flags().StringVar(&format, "format", "json", "`format` of the list: "+formats(banlist.Written()))
	c.RegisterFlagCompletionFunc("format", completeWords(banlist.Written()))
	filter.add(c)
	return c
}

// exported are bans as they are written.
func exported(bans []control.Ban) iter.Seq[ban.Ban] {
	return func(yield func(ban.Ban) bool) {
		for _, b := range bans {
			text := b.Target
			if !strings.Contains(text, "/") {
				a, err := netip.ParseAddr(text)
				if err != nil {
					continue // the daemon only tells of addresses
				}
				text = netip.PrefixFrom(a, a.BitLen()).String()
			}
			p, err := netip.ParsePrefix(text)
			if err == nil && !yield(ban.Ban{Target: p, Since: b.Since, Until: b.Until, By: b.By, Why: b.Why, Origin: ban.Origin(b.Origin)}) {
				return
			}
		}
	}
}

// replaceFile writes a file, whole or not at all.
func replaceFile(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), path)
}
