// Moonlatch is a Linux host firewall that is scripted in Lua and cannot lock
// its owner out.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	app := &app{out: os.Stdout, err: os.Stderr}
	err := app.command().ExecuteContext(ctx)
	stop()
	app.close(err)
	os.Exit(app.exit(err))
}
