package openlineage

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// sink takes events, one at a time.
type sink interface {
	deliver(ctx context.Context, event []byte) error
	name() string // as messages may tell it
	close()
}

// refusedError says that an event will never be taken.
type refusedError struct{ answer string }

func (e *refusedError) Error() string { return "answered " + e.answer }

// answerTime is how long an endpoint has to answer.
const answerTime = 10 * time.Second

// endpoint is an OpenLineage server.
type endpoint struct {
	url    *url.URL
	key    string // sent as bearer token; "": none
	client *http.Client
}

// usualPath is where servers of OpenLineage take events.
const usualPath = "/api/v1/lineage"

func newEndpoint(address, key string) (*endpoint, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, errors.New("the endpoint of run events is no URL")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = usualPath
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the token is for this host alone
	return &endpoint{u, key, &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone(), CheckRedirect: stay, Timeout: answerTime}}, nil
}

func (e *endpoint) name() string { return e.url.Host }

func (e *endpoint) close() { e.client.CloseIdleConnections() }

// deliver posts an event. Its errors name no URL, as its path or query may be a secret.
func (e *endpoint) deliver(ctx context.Context, event []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url.String(), bytes.NewReader(event))
	if err != nil {
		return errors.New("it is no URL")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "dpb")
	if e.key != "" {
		req.Header.Set("Authorization", "Bearer "+e.key)
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return noAnswer(ctx, err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // what it says does not matter
	answer := fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return &refusedError{answer}
	}
	if resp.StatusCode/100 != 2 {
		return errors.New("it answered " + answer)
	}
	return nil
}

// noAnswer says why there is none, in words that can't hold the URL.
func noAnswer(ctx context.Context, err error) error {
	var network *net.OpError
	var certificate *tls.CertificateVerificationError
	var timeout interface{ Timeout() bool }
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &certificate):
		return certificate
	case errors.As(err, &network):
		return network
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("it did not answer within %s", answerTime)
	default:
		return errors.New("it gave no answer that could be understood")
	}
}

// file is a file to which events are appended, one a line.
type file struct{ path, shown string }

func (f *file) name() string { return f.shown }

func (f *file) close() {}

// deliver appends a line, or nothing: of a full disk no half line is left.
func (f *file) deliver(_ context.Context, event []byte) error {
	if info, err := os.Stat(f.path); err == nil && !info.Mode().IsRegular() {
		return errors.New("it is no regular file")
	}
	w, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return plain(err)
	}
	info, err := w.Stat()
	if err == nil {
		if _, err = w.Write(event); err != nil {
			err = errors.Join(err, w.Truncate(info.Size()))
		}
	}
	return plain(errors.Join(err, w.Close()))
}

// plain leaves out the path, which messages name as people wrote it.
func plain(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
