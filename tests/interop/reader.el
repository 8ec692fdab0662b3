;;; reader.el --- Gnus' nntp.el against a site: list, read, overview, post  -*- lexical-binding: t -*-
;; emacs --batch -l reader.el; what is wanted is in the environment.
(require 'gnutls)
(require 'nsm)
(require 'nntp)
(require 'nnheader)

(defun check (what holds)
  (unless holds
    (message "%s: %s" what (with-current-buffer nntp-server-buffer (buffer-string)))
    (kill-emacs 1)))

(let* ((newsgroup (getenv "INTEROP_NEWSGROUP"))
       (wanted (getenv "INTEROP_READ"))
       (id (format "<%d.%d@emacs.example>" (emacs-pid) (time-convert nil 'integer)))
       (gnutls-trustfiles (list (or (getenv "INTEROP_CERTIFICATE") "/dev/null")))
       (gnutls-verify-error t)
       ;; Trust in a certificate is checked above; this would ask somebody about it.
       (network-security-level 'low)
       (nsm-settings-file (make-temp-file "feedd-nsm"))
       (tls (getenv "INTEROP_TLS")))
  (when (getenv "INTEROP_USER")
    (defun nntp-send-authinfo (&rest _)
      (nntp-send-command "^3.*\r?\n" "AUTHINFO USER" (getenv "INTEROP_USER"))
      (nntp-send-command "^2.*\r?\n" "AUTHINFO PASS" (getenv "INTEROP_PASSWORD"))))
  (check "open"
         (nntp-open-server
          "site" `((nntp-address "localhost")
                   (nntp-port-number ,(string-to-number (getenv "INTEROP_PORT")))
                   (nntp-open-connection-function
                    ,(pcase tls
                       ("starttls" #'nntp-open-network-stream)
                       ("tls" #'nntp-open-tls-stream)
                       (_ #'nntp-open-plain-stream))))))
  (check "LIST" (nntp-request-list "site"))
  (with-current-buffer nntp-server-buffer
    (goto-char (point-min))
    (check "LIST" (re-search-forward (concat "^" (regexp-quote newsgroup) " ") nil t)))
  (check "GROUP" (nntp-request-group newsgroup "site"))
  (let ((found (with-current-buffer nntp-server-buffer
                 (goto-char (point-min))
                 (and (re-search-forward "211 \\([0-9]+\\) \\([0-9]+\\) \\([0-9]+\\)" nil t)
                      (number-sequence (string-to-number (match-string 2))
                                       (string-to-number (match-string 3)))))))
    (check "OVER" (eq 'nov (nntp-retrieve-headers found newsgroup "site" nil)))
    (with-current-buffer nntp-server-buffer
      (goto-char (point-min))
      (check "OVER" (search-forward wanted nil t))))
  (check "ARTICLE" (nntp-request-article wanted newsgroup "site"))
  (with-current-buffer nntp-server-buffer
    (goto-char (point-min))
    (search-forward "\n\n")
    (check "another body" (equal (decode-coding-string (buffer-substring (point) (point-max)) 'utf-8)
                                 (getenv "INTEROP_BODY"))))
  (with-temp-buffer
    (insert "From: A Poster <poster@emacs.example>\nNewsgroups: " newsgroup
            "\nSubject: " (getenv "INTEROP_SUBJECT") "\nMessage-ID: " id "\n\n" (getenv "INTEROP_BODY"))
    (encode-coding-region (point-min) (point-max) 'utf-8)
    (set-buffer-multibyte nil)
    (check "POST" (nntp-request-post "site")))
  (nntp-close-server "site")
  (delete-file nsm-settings-file)
  (princ (concat "Gnus " id "\n")))
