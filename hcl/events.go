package hcl

import (
	"net/url"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/dpb-build/dpb/engine"
)

// events reads where the events of runs go: to an endpoint of OpenLineage, or to a file. They name the workspace.
func (b *block) events(workspace string) (out engine.Events) {
	e := b.attr("openlineage")
	if e == nil {
		b.report(b.header, "add "+example("openlineage"), "events says nothing of where they go")
		return out
	}
	s, ok := b.text(e, "openlineage")
	if !ok {
		return out
	}
	if workspace == "" {
		b.report(b.header, `add workspace "name" {}: events name it, so that those of several workspaces are told apart`, "events of a workspace without a name")
	}
	if strings.Contains(s, "://") {
		return b.endpoint(e, s)
	}
	return engine.Events{File: b.eventsFile(e, s)}
}

// endpoint checks a URL. What is wrong is told without it, as it may hold a password.
func (b *block) endpoint(e hclsyntax.Expression, s string) (out engine.Events) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		b.report(e.Range(), "write "+example("openlineage"), "openlineage is no URL, and no path")
	case u.Scheme == "file" && u.Host == "" && u.Path != "":
		out.File = b.eventsFile(e, u.Path)
	case u.Scheme == "file":
		b.report(e.Range(), `write the path alone, openlineage = "events.ndjson", or three slashes before an absolute one: "file:///var/log/events.ndjson"`, "a file URL names no host")
	case u.Scheme != "http" && u.Scheme != "https":
		b.report(e.Range(), "write a URL that begins with http:// or https://, or the path of a file", "events can't be sent to %s URLs", u.Scheme)
	case u.Hostname() == "":
		b.report(e.Range(), "write "+example("openlineage"), "openlineage names no host")
	case u.User != nil:
		b.report(e.Range(), "take it out; the variable OPENLINEAGE_API_KEY in the environment of dpb is sent as bearer token", "a password does not belong into a file")
	case u.Fragment != "":
		b.report(e.Range(), "take out what follows #", "openlineage has a fragment, which is never sent")
	default:
		out.URL = s
	}
	return out
}

// eventsFile checks the path of a file to which events are appended.
func (b *block) eventsFile(e hclsyntax.Expression, p string) string {
	switch {
	case p == "" || filepath.Clean(p) == "." || strings.HasSuffix(p, "/"):
		b.report(e.Range(), `write openlineage = "events.ndjson", or the URL of an endpoint`, "openlineage names no file")
		return ""
	case strings.HasPrefix(p, "~"):
		b.report(e.Range(), "write the path out", "~ means nothing here")
		return ""
	}
	return p
}
