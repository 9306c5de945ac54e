package main

import (
	"runtime"

	"github.com/prometheus/common/version"
	"github.com/spf13/cobra"

	"moonlatch/engine/control"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show the version",
		Long:    "Version shows which build this is.",
		Example: `  moonlatch version`,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				APIVersion string `json:"apiVersion"`
				Version    string `json:"version"`
				Revision   string `json:"revision"`
				Go         string `json:"go"`
			}{control.Version, version.Version, version.GetRevision(), runtime.Version()}
			return a.print(v, func(w *writer) {
				w.linef("moonlatch %s (revision %s, %s)", v.Version, v.Revision, v.Go)
			})
		},
	}
}
