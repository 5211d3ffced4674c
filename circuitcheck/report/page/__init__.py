"""The page: what a session found as one file for a browser.

pytest hypotheses --circuit-html=page.html

    page.py      puts it together and writes it
    content.py   the text of a claim; details.py: of each of its comparisons; models.py: of several models next to each other
    circuits.py  the graph of a circuit with edges
    plots.py     the plots, from matplotlib; drawing.py makes them small SVG that takes its colours from the page
    page.html, claim.html, page.css, page.js
"""
