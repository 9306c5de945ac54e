package main

import (
	"errors"
	"io/fs"

	"github.com/spf13/cobra"

	"moonlatch/engine/control"
	"moonlatch/engine/web"
)

func (a *app) webCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "web",
		Short: "Manage the web page that \"moonlatch run --web\" serves",
		Long:  "The page shows what happens to whoever may open it. To change anything it asks for a token.",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.webTokenCommand())
	return c
}

func (a *app) webTokenCommand() *cobra.Command {
	var renew bool
	c := &cobra.Command{
		Use:   "token",
		Short: "Print the token that the web page asks for before it changes anything",
		Long: `Token prints what the web page asks for before it confirms, rolls back, bans or
unbans, and makes it where there is none yet. With --new, it makes another one:
pages that were given the old one can change nothing from then on.`,
		Example: `  moonlatch web token
  moonlatch web token --new`,
		RunE: func(*cobra.Command, []string) error { return a.webToken(renew) },
	}
	c.Flags().BoolVar(&renew, "new", false, "make a new token; the old one is worth nothing any more")
	return c
}

// tokenDocument is the token as JSON.
type tokenDocument struct {
	APIVersion string `json:"apiVersion"`
	Token      string `json:"token"`
}

func (a *app) webToken(renew bool) error {
	token, err := web.ReadToken(a.state)
	if renew || errors.Is(err, web.ErrNoToken) {
		token, err = web.NewToken(a.state)
	}
	if errors.Is(err, fs.ErrPermission) {
		return &control.Error{Code: control.NotPermitted, Message: err.Error() + ": use sudo"}
	}
	if err != nil {
		return err
	}
	return a.print(tokenDocument{control.Version, token}, func(w *writer) { w.linef("%s", token) })
}
