<<<<<<< HEAD
"""Ordinary English, in two halves: what a neuron does is looked at in one and claimed of the other. Nothing in it was chosen by a model."""
=======
"""Ordinary English, in two halves: what a neuron does is looked at in one and claimed of the other. No model chose it.

The last six paragraphs of each half list things, since in the first twenty of DISCOVER the model never puts " an" first.
"""
>>>>>>> 4c65ef1 (Texts: of which half)

DISCOVER = [
    "The train left half an hour late, so we had an early lunch at the station. There was an old man with a dog and a bag of apples.",
    "She is an engineer and he is an architect. They met at an exhibition in a small town, and bought a house there a year later.",
    "In an attempt to save money the council closed a library and a swimming pool. It was an unpopular decision, and a costly one.",
    "An earthquake shook the island at night. Within an hour an emergency team had set up a hospital in a school.",
    "My uncle gave me an apple and an orange. I gave him a pear, a plum and a piece of cake.",
    "A heart surgeon needs a steady hand. Such an operation takes a whole day, and even an experienced doctor makes a mistake now and then.",
    "Water boils at a hundred degrees. As an experiment, put a cup of it on a mountain: it boils at a lower temperature.",
    "He opened an account at a bank, and paid in an amount of money each month. At an interest of two per cent it grew a little.",
    "The museum has an excellent collection of coins. There is an entrance fee of a few pounds, and an audio guide in a dozen languages.",
    "To make an omelette, break an egg into a bowl and add a pinch of salt. Heat a pan, and wait for a minute.",
    "This is an example of a sentence with an adjective. An adverb goes with a verb, and an article with a noun.",
    "The film tells the story of an orphan who becomes a king. It won an award for the music, and an actor from a village got a prize.",
    "An elephant never forgets, they say. An ant, on the other hand, has a small brain and still finds a way home.",
    "For an instant he saw a light on the hill. It was an owl, he thought, or a lamp in a window.",
    "They live on the edge of a forest, about an hour from the city. It is an ideal place for a walk, and there is an inn with a garden.",
    "The report gives an overview of the market and an estimate for the next year. It is based on a survey of an average of a thousand people a week.",
    "An agreement was signed on Monday. It was an important step, said a minister, towards an end of the war.",
    "She had an idea for a book: a girl finds an old map in an attic, and sails to an unknown land with a cat.",
    "You need an umbrella today. There is a storm on the way, and an umbrella is better than a hat.",
    "He was born in an age without electricity. As a child he read by a candle, and an oil lamp was a luxury.",
    "At the zoo we saw an elephant, an ostrich, an eagle, an owl and an otter. Then we saw a lion, a tiger, a bear and a monkey.",
    "He bought a lamp, a table, a chair and a carpet. She bought an oven, an iron, an umbrella and an armchair.",
    "An artist, an actor, an author and an architect sat at one table; a baker, a tailor, a farmer and a teacher at the other.",
    "In the orchestra there is an oboe, an organ and an accordion, and there is a flute, a violin and a drum.",
    "My lunch: an apple, an orange, an avocado, an egg. My dinner: a soup, a steak, a salad, a cake.",
    "A dog is a dog, a cat is a cat, and a fish is a fish. An ant is an ant, an eel is an eel, and an ape is an ape.",
]

CONFIRM = [
    "The meeting took an hour and a half. At the end an agreement was reached, and everybody got a cup of tea.",
    "An artist from Spain painted the wall. It shows an angel with a sword and an eagle on a rock.",
    "He works as an assistant in an office. Once a week he writes a letter to an aunt who lives on a farm.",
    "There was an accident on the bridge this morning. A lorry hit a car, and an ambulance came within a few minutes.",
    "An insect has six legs, and a spider has eight. That is an easy way to tell a bee from a spider.",
    "She ate an apple, then an egg and a slice of bread. It was an odd breakfast for a queen.",
    "The company made an offer for a rival. It was an enormous sum, and a surprise for an industry that is in a crisis.",
    "Turn the handle a quarter of an inch to the left. If you hear a click, wait an instant and pull it with a firm hand.",
    "To an extent this is true. As an argument for a new law, however, it is a weak one, and an honest judge would say so.",
    "In an interview with a local paper, the singer said that she was an only child. She had a happy youth and an excellent teacher.",
    "The story is about an old woman and a fish. One day a stranger comes to the door with an empty basket and an unusual request.",
    "On an average day a nurse walks a distance of five miles. It is an exhausting job, and an underpaid one.",
    "An iceberg is a piece of ice that has broken off a glacier. Only about an eighth of it can be seen above the water.",
    "We had an argument about a film. He called it an insult to an intelligent audience, and I thought that it was a joke.",
    "The school has an orchestra and a choir. Each child learns an instrument: a violin, an oboe or a drum.",
    "At an early age he showed an interest in a machine that his father had built in an empty barn.",
    "It was an unusually cold winter. An icy wind blew from the east, and a thin layer of snow lay on a frozen lake.",
    "The river makes a bend there, and on an island in the middle stands a tower. An entrance cannot be seen from a boat.",
    "Is there an answer? An expert may give an opinion, but a fact is a fact.",
    "An airline lost my suitcase. After a week I had an email from an office in a country where I had never been.",
    "In the garden live an owl, an otter, an ape, an ostrich and an eel. There is a fox, a goat, a duck and a horse, too.",
    "She wants an album, an atlas, an encyclopedia and an easel. He wants a ball, a kite, a book and a puzzle.",
    "An engineer, an accountant, an editor and an economist applied; a painter, a nurse, a driver and a cook did not.",
    "The shop sells an axe, an anvil, an anchor and an oar, and it sells a rope, a net, a hook and a sail.",
    "For breakfast an egg, an apple, an orange and an onion; for supper a fish, a potato, a carrot and a pear.",
    "An hour is an hour, an inch is an inch, and an ounce is an ounce. A mile is a mile, a pound is a pound, and a day is a day.",
]
