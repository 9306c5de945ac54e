package main

import (
	"os"
	"path/filepath"

	"github.com/prometheus/common/version"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "man DIRECTORY",
		Short:   "Write the manual pages",
		Long:    "Man writes a manual page of each command into a directory, which it makes: moonlatch(1), moonlatch-apply(1) and so on.",
		Example: "  sudo moonlatch man /usr/local/share/man/man1",
		Args:    cobra.ExactArgs(1),
		Hidden:  true, // it is for those who install
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			root := c.Root()
			root.DisableAutoGenTag = true
			return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "Moonlatch " + version.Version, Manual: "Moonlatch"}, dir)
		},
	}
}
