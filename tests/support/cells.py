"""What the tests of the explorer and its views do with lines of code and HTML."""

import ast
from html.parser import HTMLParser


def run_line(line):
    """Execute a line of code in a fresh namespace; what its last expression is worth."""
    tree, names = ast.parse(line), {}
    last = tree.body.pop()
    exec(compile(tree, "<line>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<line>", "eval"), names)


class Page(HTMLParser):
    """HTML as a browser would take it: every tag with its attributes, the text, and the links that download something."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, text):
        self.texts.append(text)

    @property
    def text(self):
        return "".join(self.texts)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]
