// Package notify tells people what happens: by webhooks and e-mail, off the packet path.
package notify

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/pelletier/go-toml/v2"

	"moonlatch/engine/feed"
	"moonlatch/engine/ruleset"
)

// Config is a file of targets that was parsed and found right.
type Config struct{ targets []*target }

// fileConfig is the file as it is written.
type fileConfig struct {
	Targets map[string]fileTarget `toml:"targets"`
}

type fileTarget struct {
	Format       string   `toml:"format"`
	URL          string   `toml:"url"`
	URLFile      string   `toml:"url_file"`
	URLEnv       string   `toml:"url_env"`
	Token        string   `toml:"token"`
	TokenFile    string   `toml:"token_file"`
	TokenEnv     string   `toml:"token_env"`
	Room         string   `toml:"room"`
	Server       string   `toml:"server"`
	TLS          string   `toml:"tls"`
	User         string   `toml:"user"`
	Password     string   `toml:"password"`
	PasswordFile string   `toml:"password_file"`
	PasswordEnv  string   `toml:"password_env"`
	CAFile       string   `toml:"ca_file"`
	From         string   `toml:"from"`
	To           []string `toml:"to"`
	On           []string `toml:"on"`
	Most         int      `toml:"most"`
	Per          string   `toml:"per"`
	Timeout      string   `toml:"timeout"`
	Title        string   `toml:"title"`
	Body         string   `toml:"body"`
}

// fieldNames are the keys of a target.
func fieldNames() []string {
	return []string{
		"format", "url", "url_file", "url_env", "token", "token_file", "token_env", "room", "server", "tls", "user", "password", "password_file", "password_env",
		"ca_file", "from", "to", "on", "most", "per", "timeout", "title", "body",
	}
}

// Formats are the formats that a target can have.
func Formats() []string { return []string{"json", "slack", "matrix", "ntfy", "mail"} }

// builtIn are the kinds that a target is told of unless it says which.
func builtIn() []feed.Kind {
	return []feed.Kind{feed.KindTrialEnd, feed.KindDrift, feed.KindFault, feed.KindLease, feed.KindBrake, feed.KindList, feed.KindHistory}
}

// Read reads the file of targets. The error names file and line.
func Read(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	c, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("notify: %s:%w", path, err)
	}
	return c, nil
}

// Names are the targets' names.
func (c *Config) Names() (names []string) {
	for _, t := range c.targets {
		names = append(names, t.name)
	}
	return names
}

// mistake is an error with its line. Its text begins with that.
func mistake(line int, format string, args ...any) error {
	return fmt.Errorf("%d: "+format, append([]any{line}, args...)...)
}

func parse(text []byte) (*Config, error) {
	var file fileConfig
	err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&file)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		first := unknown.Errors[0]
		line, _ := first.Position()
		key, known := first.Key(), fieldNames()
		if key[0] != "targets" {
			key, known = key[:1], []string{"targets"}
		}
		return nil, mistake(line, "unknown key %q%s", key[len(key)-1], ruleset.Suggest(key[len(key)-1], known))
	case errors.As(err, &wrong):
		line, _ := wrong.Position()
		return nil, mistake(line, "%s", strings.TrimPrefix(wrong.Error(), "toml: "))
	case err != nil:
		return nil, mistake(1, "%w", err)
	case len(file.Targets) == 0:
		return nil, mistake(1, "there is no target: write a table such as [targets.ops]")
	}
	c := &Config{}
	for _, name := range slices.Sorted(maps.Keys(file.Targets)) {
		t, err := file.Targets[name].target(name)
		if err != nil {
			return nil, mistake(lineOf(text, name, err), "target %q: %w", name, err)
		}
		c.targets = append(c.targets, t)
	}
	return c, nil
}

// lineOf is the line of the key that an error of a target begins with, or else of the target's table, as far as these are written plainly.
func lineOf(text []byte, name string, err error) int {
	key, _, _ := strings.Cut(strings.ReplaceAll(err.Error(), ":", " "), " ")
	table := 0
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		left, _, isKey := strings.Cut(line, "=")
		switch {
		case line == "[targets."+name+"]" || line == fmt.Sprintf("[targets.%q]", name):
			table = i + 1
		case table > 0 && strings.HasPrefix(line, "["):
			return table
		case table > 0 && isKey && strings.TrimSpace(left) == key:
			return i + 1
		}
	}
	return max(table, 1)
}

// target checks what is written of one.
func (f fileTarget) target(name string) (*target, error) {
	if reason := ruleset.BadName(name); reason != "" {
		return nil, fmt.Errorf("its name %s", reason)
	}
	t := &target{name: name, most: f.Most, per: time.Minute, timeout: 10 * time.Second, queue: make(chan message, queueSize)}
	if t.most == 0 {
		t.most = 10
	}
	var err error
	for _, d := range []struct {
		key, text string
		to        *time.Duration
	}{{"per", f.Per, &t.per}, {"timeout", f.Timeout, &t.timeout}} {
		if d.text == "" {
			continue
		}
		if *d.to, err = time.ParseDuration(d.text); err != nil || *d.to <= 0 {
			return nil, fmt.Errorf("%s %q is no duration: write it as 10s or 5m", d.key, d.text)
		}
	}
	if t.most < 1 {
		return nil, fmt.Errorf("most = %d: at least one message must be allowed", f.Most)
	}
	if t.kinds, err = kinds(f.On); err != nil {
		return nil, err
	}
	if t.title, err = parseTemplate("title", f.Title, "{{.Host}}: {{.Message}}"); err != nil {
		return nil, err
	}
	if t.body, err = parseTemplate("body", f.Body, "{{.Text}}"); err != nil {
		return nil, err
	}
	t.to, err = f.sender(t.timeout)
	return t, err
}

func kinds(names []string) ([]feed.Kind, error) {
	if names == nil {
		return builtIn(), nil
	}
	var out []feed.Kind
	for _, name := range names {
		k, err := feed.ParseKind(name)
		if err != nil {
			return nil, fmt.Errorf("on: %w", err)
		}
		if k == feed.KindEvent {
			return nil, errors.New("on: packets are too many to tell people of")
		}
		out = append(out, k)
	}
	return out, nil
}

func parseTemplate(key, text, otherwise string) (*template.Template, error) {
	if text == "" {
		text = otherwise
	}
	t, err := template.New(key).Parse(text)
	if err == nil {
		err = t.Execute(&bytes.Buffer{}, said{})
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return t, nil
}

// sender is what the format asks for.
func (f fileTarget) sender(timeout time.Duration) (sender, error) {
	if !slices.Contains(Formats(), f.Format) {
		return nil, fmt.Errorf("format %q is unknown%s: it is %s", f.Format, ruleset.Suggest(f.Format, Formats()), strings.Join(Formats(), ", "))
	}
	if f.Format == "mail" {
		return f.mail(timeout)
	}
	if f.Server+f.TLS+f.User+f.Password+f.PasswordFile+f.PasswordEnv+f.From != "" || f.To != nil {
		return nil, errors.New("server, tls, user, password, from and to are for format mail")
	}
	if (f.Format == "matrix") != (f.Room != "") {
		return nil, errors.New("format matrix, and no other, needs a room")
	}
	address, err := secret("url", f.URL, f.URLFile, f.URLEnv)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("url is none of http:// or https://") // which it is, is secret
	}
	token, err := secret("token", f.Token, f.TokenFile, f.TokenEnv)
	if err != nil {
		return nil, err
	}
	if token != "" && u.Scheme == "http" && !onHost(u.Hostname()) {
		return nil, errors.New("url begins with http://, and a token does not travel without TLS")
	}
	trust, err := trusted(f.CAFile, u.Hostname())
	if err != nil {
		return nil, err
	}
	return newWebhook(f.Format, u, token, f.Room, trust, timeout), nil
}
