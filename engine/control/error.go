package control

import "net/http"

// Code tells errors apart across the socket.
type Code string

// The codes, each with its HTTP status.
const (
	Failed       Code = "failed"
	BadRequest   Code = "bad_request"
	BadPolicy    Code = "invalid_policy"
	NotPermitted Code = "not_permitted"
	Unreachable  Code = "unreachable"
	NoTrial      Code = "no_trial"
	RolledBack   Code = "rolled_back"
	NotFound     Code = "not_found"
	Refused      Code = "refused" // a ban of a protected address, say
	Busy         Code = "busy"
)

// Error is a failure as the API tells it.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"error"`
}

func (e *Error) Error() string { return e.Message }

// Status is the code as HTTP tells it.
func (c Code) Status() int {
	switch c {
	case BadRequest, BadPolicy:
		return http.StatusUnprocessableEntity
	case NotPermitted, Refused:
		return http.StatusForbidden
	case NoTrial, RolledBack:
		return http.StatusConflict
	case NotFound:
		return http.StatusNotFound
	case Busy:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
