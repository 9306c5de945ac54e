package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
)

// mailer sends messages by SMTP.
type mailer struct {
	client *mail.Client
	from   string
	to     []string
}

func (f fileTarget) mail(timeout time.Duration) (sender, error) {
	if f.URL+f.URLFile+f.URLEnv+f.Token+f.TokenFile+f.TokenEnv+f.Room != "" {
		return nil, errors.New("url, token and room are not for format mail")
	}
	host, portText, err := net.SplitHostPort(f.Server)
	port, portErr := strconv.ParseUint(portText, 10, 16)
	if err != nil || portErr != nil || host == "" {
		return nil, fmt.Errorf("server %q: write it as smtp.example.org:587", f.Server)
	}
	trust, err := trusted(f.CAFile, host)
	if err != nil {
		return nil, err
	}
	options := []mail.Option{mail.WithPort(int(port)), mail.WithTimeout(timeout), mail.WithTLSConfig(trust)}
	switch f.TLS {
	case "", "starttls":
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	case "tls":
		options = append(options, mail.WithSSL())
	case "none":
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		return nil, fmt.Errorf("tls %q is unknown: it is starttls, tls or none", f.TLS)
	}
	password, err := secret("password", f.Password, f.PasswordFile, f.PasswordEnv)
	if err != nil {
		return nil, err
	}
	if (f.User == "") != (password == "") {
		return nil, errors.New("user and password go together")
	}
	if f.User != "" {
		if f.TLS == "none" {
			return nil, errors.New("a password does not travel without TLS")
		}
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(f.User), mail.WithPassword(password))
	}
	m := &mailer{from: f.From, to: f.To}
	if _, err := m.message(message{title: "x", body: "x"}); err != nil {
		return nil, err
	}
	m.client, err = mail.NewClient(host, options...)
	return m, err
}

func (m *mailer) message(from message) (*mail.Msg, error) {
	msg := mail.NewMsg()
	if err := msg.From(m.from); err != nil {
		return nil, fmt.Errorf("from %q is no address", m.from)
	}
	if len(m.to) == 0 {
		return nil, errors.New("to names nobody")
	}
	if err := msg.To(m.to...); err != nil {
		return nil, fmt.Errorf("to: %q are not all addresses", m.to)
	}
	msg.Subject(strings.Join(strings.Fields(from.title), " "))
	msg.SetBodyString(mail.TypeTextPlain, from.body)
	return msg, nil
}

func (m *mailer) send(ctx context.Context, from message) error {
	msg, err := m.message(from)
	if err != nil {
		return err
	}
	if err := m.client.DialAndSendWithContext(ctx, msg); err != nil {
		var refused *mail.SendError
		if errors.As(err, &refused) && !refused.IsTemp() {
			return fmt.Errorf("the mail server refuses: %w (%v)", errPermanent, refused.Reason)
		}
		return fmt.Errorf("mail: %w", err)
	}
	return nil
}
