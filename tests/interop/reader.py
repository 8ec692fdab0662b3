"""Python's nntplib against a site: log in, list, read, overview, post. What is wanted is in the environment."""

import datetime
import email.message
import io
import nntplib
import os
import ssl
import uuid

wanted = os.environ
port, newsgroup = int(wanted["INTEROP_PORT"]), wanted["INTEROP_NEWSGROUP"]
subject, body = wanted["INTEROP_SUBJECT"], wanted["INTEROP_BODY"]
tls = wanted.get("INTEROP_TLS")
context = tls and ssl.create_default_context(cafile=wanted["INTEROP_CERTIFICATE"])


def connect():
    if tls == "tls":
        return nntplib.NNTP_SSL("localhost", port, ssl_context=context, timeout=30)
    return nntplib.NNTP("localhost", port, timeout=30)


with connect() as server:
    if tls == "starttls":
        capabilities = server.getcapabilities()
        assert "STARTTLS" in capabilities and "AUTHINFO" in capabilities, capabilities
        server.starttls(context)
    if tls:
        try:
            server.login(wanted["INTEROP_USER"], "another password")
            raise AssertionError("a login with a wrong password")
        except nntplib.NNTPTemporaryError as error:
            assert error.response.startswith("481"), error
        server.login(wanted["INTEROP_USER"], wanted["INTEROP_PASSWORD"])
    capabilities = server.getcapabilities()
    assert "READER" in capabilities and "POST" in capabilities, capabilities
    assert "OVER" in capabilities and "LIST" in capabilities, capabilities

    message_id = "<%s@python.example>" % uuid.uuid4()
    article = email.message.EmailMessage()
    article["From"] = "A Poster <poster@python.example>"
    article["Newsgroups"] = newsgroup
    article["Subject"] = subject
    article["Message-ID"] = message_id
    article.set_content(body, charset="utf-8", cte="8bit")
    octets = article.as_bytes(policy=article.policy.clone(utf8=True))
    posted = server.post(io.BytesIO(octets))
    assert posted.startswith("240"), posted

    _, groups = server.list()
    assert newsgroup in [group.group for group in groups], groups
    _, groups = server.list(newsgroup)
    assert [group.group for group in groups] == [newsgroup], groups
    _, created = server.newgroups(datetime.datetime.now() - datetime.timedelta(days=2))
    assert newsgroup in [group.group for group in created], created
    descriptions = server.descriptions(newsgroup)
    assert descriptions[0].startswith("215"), descriptions

    _, count, first, last, name = server.group(newsgroup)
    assert name == newsgroup and count >= 1 and first <= last, (count, first, last, name)

    _, number, found = server.stat(message_id)
    assert found == message_id
    for wanted_id in [message_id, wanted["INTEROP_READ"]]:
        _, info = server.article(wanted_id)
        text = b"\n".join(info.lines).decode("utf-8")
        assert text.endswith("\n\n" + body.rstrip("\n")), text
        assert "Subject: " + subject in text, text

    _, overviews = server.over((first, last))
    mine = [(n, over) for n, over in overviews if over["message-id"] == message_id]
    assert len(mine) == 1, overviews
    number, over = mine[0]
    assert over["subject"] == subject, over
    assert over["from"] == "A Poster <poster@python.example>", over
    assert int(over[":lines"]) == len(body.splitlines()), over

    _, head = server.head(number)
    assert any(line.lower().startswith(b"path:") for line in head.lines), head
    _, content = server.body(str(number))
    assert content.lines[0] == b"A line.", content
    _, found, _ = server.last() if count > 1 else (None, number, None)
    _, ids = server.newnews(newsgroup, datetime.datetime.now() - datetime.timedelta(days=2))
    assert message_id in ids, ids
    _, date = server.date()
    assert abs((datetime.datetime.utcnow() - date).total_seconds()) < 120, date
    try:
        server.article("<no.such.article@python.example>")
        raise AssertionError("an article that does not exist")
    except nntplib.NNTPTemporaryError as error:
        assert error.response.startswith("430"), error
print("nntplib", message_id)
